"""Sources that are arrays already: digits, IDX, CIFAR-10 and .npz."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fromnoise.common.errors import DataError
from fromnoise.data import DataOptions, describe, load, splits
from fromnoise.data.digits import stored

Idx = Callable[[np.ndarray], bytes]
IMAGES = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)


def failure(path: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        load(DataOptions(source=str(path)))
    return str(caught.value)


# --- digits -------------------------------------------------------------------------------------------------


def test_digits_are_split_once_and_for_all() -> None:
    train, test = load(DataOptions(source="digits")), load(DataOptions(source="digits"), "test")
    assert train.images.shape == (1500, 1, 16, 16) and test.images.shape == (297, 1, 16, 16)
    assert train.labels is not None and train.labels[:8].tolist() == [4, 7, 1, 1, 8, 6, 3, 5]
    assert train.label_counts.min() > 130 and test.label_counts.min() > 15
    assert "1,500" in train.notes[0] and "297" in train.notes[0]


def test_digits_are_enlarged_smoothly_and_fill_the_range() -> None:
    images = load(DataOptions(source="digits")).images[:, 0].float()
    assert images.min() == 0 and images.max() == 255
    original = stored()[0].mean() * 255 / 16
    assert float(images.mean()) == pytest.approx(original, rel=0.03)
    blocks = images.reshape(-1, 8, 2, 8, 2)
    assert (blocks.amax((2, 4)) - blocks.amin((2, 4))).mean() > 20  # not merely doubled pixels


def test_the_shipped_digits_are_scikit_learns() -> None:
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    pixels, labels = stored()
    assert (pixels == theirs.images).all() and (labels == theirs.target).all()


def test_digits_at_another_resolution() -> None:
    data = load(DataOptions(source="digits", resolution="28"))
    assert data.images.shape == (1500, 1, 28, 28) and "28x28" in data.notes[1]


# --- IDX ----------------------------------------------------------------------------------------------------


def test_idx_files_in_a_folder_plain_and_gzipped(tmp_path: Path, idx: Idx) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels.idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS + 3)))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:3])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:3] + 3))
    options = DataOptions(source=str(tmp_path))
    assert splits(options) == ("train", "test")
    data = load(options)
    assert (data.images[:, 0].numpy() == IMAGES).all()
    assert data.spec.classes == ("3", "4", "5") and data.labels is not None
    assert data.labels.tolist() == LABELS.tolist()
    assert len(load(options, "test")) == 3


def test_one_idx_file_with_and_without_its_labels(tmp_path: Path, idx: Idx) -> None:
    path = tmp_path / "some-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(IMAGES)))
    alone = load(DataOptions(source=str(path)))
    assert alone.labels is None and len(alone.notes) == 1 and "label" in alone.notes[0]
    (tmp_path / "some-labels-idx1-ubyte").write_bytes(idx(LABELS))
    assert load(DataOptions(source=str(path))).labels is not None
    with pytest.raises(DataError, match=r"some-images-idx3-ubyte.*train.*IDX"):
        load(DataOptions(source=str(path)), "test")
    other = tmp_path / "pictures.bin"
    other.write_bytes(idx(np.zeros((2, 6, 7, 3))))
    assert describe(load(DataOptions(source=str(other)))) == "pictures: 2 images, 6x7 RGB, no classes"


def test_damaged_idx_files_are_named(tmp_path: Path, idx: Idx) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    labels = tmp_path / "train-labels-idx1-ubyte"
    whole = idx(IMAGES)
    labels.write_bytes(idx(LABELS))
    for content, values in (
        (whole[:-7], ("120 bytes", "113")),
        (whole + b"x", ("120 bytes", "more")),
        (b"\0\0\x0d\x03" + whole[4:], ("480 bytes",)),
        (b"\0\0\x07\x03" + whole[4:], ("07",)),
        (b"<html>", ("IDX",)),
        (b"\0\0", ("IDX",)),
        (whole[:9], ()),
        (gzip.compress(whole)[:-20], ()),
        (idx(LABELS), ("(N, H, W)",)),
        (idx(np.zeros((0, 5, 4))), ("(N, H, W)",)),
        (b"\0\0\x08\x03" + b"\xff" * 12, ("8,589,934,592",)),
        (idx(IMAGES[:4]), ("label", "4 images")),
    ):
        path.write_bytes(content)
        assert all(value in failure(tmp_path) for value in ("-ubyte", *values)), values


def test_two_idx_sets_in_one_folder_are_not_guessed_between(tmp_path: Path, idx: Idx) -> None:
    for name in ("emnist-digits-train", "emnist-letters-train"):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(IMAGES))
    assert "two IDX files" in failure(tmp_path) and "train" in failure(tmp_path)


# --- CIFAR-10 -----------------------------------------------------------------------------------------------


def records(number: int) -> tuple[bytes, np.ndarray]:
    images = np.random.default_rng(number).integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
    rows = [bytes([i % 10]) + image.transpose(2, 0, 1).tobytes() for i, image in enumerate(images)]
    return b"".join(rows), images


def cifar(root: Path, files: dict[str, bytes]) -> Path:
    target = root / "cifar10" / "cifar-10-binary.tar.gz"
    target.parent.mkdir(exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_3.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return target


def test_cifar_archives_are_read_in_order_and_links_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path))
    (one, first), (two, second), (three, last) = records(12), records(5), records(4)
    cifar(tmp_path, {"data_batch_2.bin": two, "data_batch_1.bin": one, "test_batch.bin": three})
    data = load(DataOptions(source="cifar10"))
    assert describe(data) == "cifar10: 17 images, 32x32 RGB, 10 classes"
    assert (data.images.permute(0, 2, 3, 1).numpy() == np.concatenate([first, second])).all()
    assert data.labels is not None and data.labels[:12].tolist() == [i % 10 for i in range(12)]
    assert data.spec.classes[:2] == ("airplane", "automobile")
    (note,) = data.notes
    assert "17 images" in note and "50,000" in note
    test = load(DataOptions(source="cifar10"), "test")
    assert (test.images.permute(0, 2, 3, 1).numpy() == last).all()


def test_cifar_as_a_folder_of_bin_files(tmp_path: Path) -> None:
    content, _ = records(6)
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    assert len(load(DataOptions(source=str(tmp_path)))) == 6


def test_damaged_cifar_archives_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROMNOISE_DATA", str(tmp_path))
    content, _ = records(4)
    cifar(tmp_path, {"data_batch_1.bin": content[:-1]})
    assert "data_batch_1.bin" in failure("cifar10")
    cifar(tmp_path, {"data_batch_1.bin": b"\x63" + content[1:]})
    assert "99" in failure("cifar10")
    cifar(tmp_path, {"other.bin": content})
    assert "data_batch_[1-5].bin" in failure("cifar10")
    target = cifar(tmp_path, {"data_batch_1.bin": content})
    target.write_bytes(target.read_bytes()[:-5000])
    assert target.name in failure("cifar10")


# --- npz ----------------------------------------------------------------------------------------------------


def npz(root: Path, **arrays: object) -> Path:
    np.savez(root / "data.npz", **arrays)  # type: ignore[arg-type]
    return root / "data.npz"


@pytest.mark.parametrize("keys", [("images", "labels"), ("arr_0", "arr_1"), ("x_train", "y_train")])
def test_npz_under_the_keys_people_use(tmp_path: Path, keys: tuple[str, str]) -> None:
    data = load(DataOptions(source=str(npz(tmp_path, **{keys[0]: IMAGES, keys[1]: LABELS.astype(np.int32)}))))
    assert (data.images[:, 0].numpy() == IMAGES).all() and data.spec.classes == ("0", "1", "2")
    assert data.labels is not None and data.labels.tolist() == LABELS.tolist()
    assert describe(data) == "data: 6 images, 5x4 grey, 3 classes"


def test_npz_with_colours_names_and_a_test_split(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 4), dtype=np.uint8)
    data = load(DataOptions(source=str(npz(tmp_path, images=colour, labels=LABELS, classes=["x", "y", "z", "w"]))))
    assert data.spec.channels == 4 and data.spec.classes == ("x", "y", "z", "w")
    keras = npz(tmp_path, x_train=IMAGES, y_train=LABELS[:, None] + 5, x_test=IMAGES[:2], y_test=LABELS[1:3] + 5)
    assert splits(DataOptions(source=str(keras))) == ("train", "test")
    test = load(DataOptions(source=str(keras)), "test")
    assert test.spec.classes == ("5", "6", "7") and test.labels is not None and test.labels.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"train.*x_test"):
        load(DataOptions(source=str(npz(tmp_path, images=IMAGES))), "test")


def test_npz_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    for arrays, values in (
        ({"pictures": IMAGES}, ("pictures", "images")),
        ({"images": IMAGES.astype(np.float32) * 9}, ("float32", "0 to 1071", "data.range")),
        ({"images": IMAGES.astype(np.float32) - 300}, ("-300", "data.range")),
        ({"images": IMAGES / IMAGES.max() * 1.02}, ("0 to 1.02", "data.range")),
        ({"images": IMAGES / IMAGES.max() * 10}, ("0 to 10", "data.range")),
        ({"images": np.where(IMAGES > 9, np.nan, 1.0)}, ("not finite",)),
        ({"images": IMAGES.astype(np.int8) - 100}, ("int8", "-100")),
        ({"images": IMAGES.astype(complex)}, ("complex",)),
        ({"images": IMAGES.reshape(6, 20)}, ("(6, 20)",)),
        ({"images": IMAGES, "labels": np.array([0, 1, 2, 0, 1, 2**64 - 1], np.uint64)}, ("uint64", "data.classes")),
        ({"images": IMAGES, "labels": np.ones((6, 3), np.uint8)}, ("(6, 3)", "data.classes=none")),
        ({"images": IMAGES.reshape(2, 2, 6, 5)}, ("(2, 2, 6, 5)",)),
        ({"images": IMAGES[:0]}, ("(0, 5, 4)",)),
        ({"images": IMAGES, "labels": LABELS[:4]}, ("label", "6 images")),
        ({"images": IMAGES, "labels": LABELS.astype(float)}, ("float64",)),
        ({"images": IMAGES, "labels": LABELS.astype(int) - 1}, ("label", "6 images")),
        ({"images": IMAGES, "labels": LABELS, "classes": ["a"]}, ("1 classes",)),
        ({"images": np.array([{}, {}], dtype=object)}, ("pickled", "images")),
        ({"images": IMAGES[:1]}, ("at least 2",)),
    ):
        message = failure(npz(tmp_path, **arrays))
        assert all(value in message for value in values), message


def test_npz_that_is_no_npz(tmp_path: Path) -> None:
    path = npz(tmp_path, images=IMAGES)
    whole = path.read_bytes()
    for length in (4, 100, len(whole) - 50):
        path.write_bytes(whole[:length])
        assert str(path) in failure(path) and ".npz" in failure(path).replace(str(path), "")
    header = io.BytesIO()
    np.save(header, IMAGES)
    for content in (
        b"",
        b"PK",
        b"words\n",
        pickle.dumps([1]),
        header.getvalue(),
        b"\x93NUMPY\x01\x00\x04\x00((((",
        b"\0" * 99,
    ):
        path.write_bytes(content)
        assert str(path) in failure(path) and ".npz" in failure(path).replace(str(path), "")


def test_an_archive_of_other_things_says_nothing_of_pickles(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", b"words")
    assert "images" in failure(path) and "pickle" not in failure(path)
    np.savez(path, images=np.array([{}, {}], dtype=object))
    assert "allow_pickle" not in failure(path)


def test_an_npz_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path, images=IMAGES)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert str(path) in failure(path) and "Permission denied" in failure(path)
