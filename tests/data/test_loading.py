"""What a source's name means."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fromnoise.common.errors import DataError, UsageError
from fromnoise.data import DATASETS, DataOptions, available, describe, load, splits, unseen


def test_an_unknown_name_gets_the_nearest_one_and_the_other_ways() -> None:
    with pytest.raises(UsageError) as caught:
        load(DataOptions(source="fashion-mnits"))
    message = str(caught.value)
    assert "'fashion_mnist'" in message and ".zip" in message and ".npz" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("source", ["./mnits", "photos/", "pics.zip", "~/none", "x.npz", "a\0b/c", "n" * 5000 + "/"])
def test_a_path_that_is_not_there_is_a_data_error(source: str) -> None:
    with pytest.raises(DataError) as caught:
        load(DataOptions(source=source))
    assert caught.value.exit_code == 3
    assert source.replace("\0", "\\x00").removeprefix("~")[:20] in str(caught.value).replace("\0", "\\x00")


def test_a_pathlib_path_is_a_path_even_where_a_data_set_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"\./digits"):
        load(Path("digits"))
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez("digits.npz", images=images)
    for path in (Path("digits.npz"), tmp_path / "digits.npz"):
        assert load(path, holdout=0).images.tolist() == load("digits.npz", holdout=0).images.tolist()


def test_a_file_of_another_kind_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    for path in (tmp_path / "notes.txt", Path("/dev/null")):
        if path.exists():
            with pytest.raises(DataError):
                load(DataOptions(source=str(path)))


def test_a_bad_resolution_is_said_before_data_is_looked_for() -> None:
    with pytest.raises(UsageError, match=r"resolution.*'big'"):
        load(DataOptions(source="mnist", resolution="big"))


def test_a_name_comes_before_a_folder_of_that_name(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder({"1.png": (8, 8, 3), "2.png": (8, 8, 3)}, "digits")
    monkeypatch.chdir(root.parent)
    named = load(DataOptions(source="digits"))
    assert describe(named) == "digits: 1,500 images, 16x16 grey, 10 classes" and "./digits" in named.notes[0]
    assert describe(load(DataOptions(source="./digits"))) == "digits: 2 images, 8x8 RGB, no classes"


def test_built_in_images_come_without_classes_where_none_are_wanted() -> None:
    data = load(DataOptions(source="digits", classes="none"))
    assert data.labels is None and data.spec.classes == ()


def test_tensors_are_writable_contiguous_and_labels_int64(folder: Callable[..., Path]) -> None:
    data = load(DataOptions(source=str(folder({"a/1.png": (6, 9, 3), "b/1.png": (6, 9, 3)}))))
    assert data.images.is_contiguous() and str(data.images.dtype) == "torch.uint8"
    assert data.labels is not None and str(data.labels.dtype) == "torch.int64"
    data.images[0] = 0  # a read-only array underneath would warn here
    assert (data.spec.height, data.spec.width) == (6, 9)


def test_every_listed_data_set_says_what_it_needs_to() -> None:
    assert list(DATASETS) == ["digits", "mnist", "fashion_mnist", "kmnist", "cifar10"]
    for name, dataset in DATASETS.items():
        assert len(dataset.classes) == 10 and dataset.description and dataset.licence
        assert available(name) == (name == "digits")
        for file in dataset.files:
            assert len(dataset.mirrors) >= 2 and all(mirror.endswith("/") for mirror in dataset.mirrors)
            assert len(file.sha256) == 64 and int(file.sha256, 16) > 0 and file.size > 1000
    with pytest.raises(UsageError, match=r"'mnsit'.*'mnist'"):
        available("mnsit")


def test_mnist_is_found_in_the_data_folder(mnist_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROMNOISE_DATA", str(mnist_dir.parent))
    assert available("mnist") and not available("kmnist")
    train, test = load(DataOptions(source="mnist")), load(DataOptions(source="mnist"), "test")
    assert describe(train) == "mnist: 60,000 images, 28x28 grey, 10 classes"
    assert describe(test) == "mnist (test): 10,000 images, 28x28 grey, 10 classes"
    assert train.notes == ()  # its content is the published one
    assert train.labels is not None and train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits(DataOptions(source="mnist")) == ("train", "test")
    assert float(train.images.float().mean()) == pytest.approx(33.3184, abs=1e-3)


def test_other_files_under_mnists_name_are_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, idx: Callable[[np.ndarray], bytes]
) -> None:
    (tmp_path / "mnist").mkdir()
    for part in ("train", "t10k"):
        (tmp_path / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 28, 28))))
        (tmp_path / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(4)))
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path))
    data = load(DataOptions(source="mnist"))
    assert len(data.spec.classes) == 10
    for name, note in zip(("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), data.notes, strict=True):
        assert name in note and "mnist" in note


def test_options_and_names_load_without_torch() -> None:
    code = (
        "import sys, fromnoise.settings, fromnoise.data, fromnoise.data.registry, fromnoise.data.download\n"
        "fromnoise.data.DATASETS, fromnoise.data.cache_dir, dir(fromnoise.data)\n"
        "assert not {'torch', 'PIL', 'numpy', 'requests', 'pooch', 'rich'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_attribute_is_refused() -> None:
    import fromnoise.data

    with pytest.raises(AttributeError, match="'loda'"):
        _ = fromnoise.data.loda
    assert all(hasattr(fromnoise.data, name) for name in fromnoise.data.__all__)


def test_a_size_may_be_a_number() -> None:
    assert load("digits", resolution=20).spec.shape == load("digits", resolution="20").spec.shape == (1, 20, 20)


@pytest.mark.parametrize("channels", [None, 4])
def test_grey_test_images_beside_colour_ones_are_read_in_colour(
    folder: Callable[..., Path], channels: int | None
) -> None:
    sizes = {"train/1.png": (8, 8, 3), "train/2.png": (8, 8, 3), "test/1.png": (8, 8, 1), "test/2.png": (8, 8, 1)}
    options = DataOptions(source=str(folder(sizes)), channels=channels)
    train, grey = load(options), load(DataOptions(source=options.source, channels=1), "test")
    test = unseen(options, train)
    assert test is not None and test.spec.shape == train.spec.shape and len(test) == 2
    assert (test.images[:, :3] == grey.images).all()
