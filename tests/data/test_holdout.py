"""Images held out where there is no test split: which, how many, what is said, and what stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import DataOptions, describe, load, splits, unseen
from fromnoise.data.holdout import MOST, divided, places
from fromnoise.data.image_data import ArrayData
from fromnoise.data.inspection import inspect
from fromnoise.data.npz import Npz

Folder = Callable[..., Path]
IMAGE = (4, 4, 1)


def saved(path: Path, number: int, **more: np.ndarray) -> DataOptions:
    """An archive of `number` different images without a test split, unless `more` holds one."""
    images = np.arange(number * 16, dtype=np.uint16).astype(np.uint8).reshape(number, 4, 4)
    np.savez(path / "pictures.npz", x_train=images, **more)
    return DataOptions(source=str(path / "pictures.npz"))


def numbered(labels: list[int], classes: int) -> ArrayData:
    spec = ImageSpec(1, 1, 1, tuple(str(i) for i in range(classes)))
    images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return ArrayData("numbers", "train", images, torch.tensor(labels), spec)


@pytest.mark.parametrize("holdout", [0.0, 0.1])
def test_a_split_that_is_not_there_is_refused(tmp_path: Path, holdout: float) -> None:
    options = saved(tmp_path, 50)
    for split in ("val", "nope"):
        with pytest.raises(DataError, match=split):
            load(options, split, holdout=holdout)  # type: ignore[arg-type]


def test_what_is_held_out_is_the_test_split_and_nothing_is_lost(tmp_path: Path) -> None:
    options = saved(tmp_path, 50, y_train=np.arange(50) % 5)
    train, test = load(options), load(options, "test")
    whole = load(DataOptions(source=options.source, holdout=0.0))
    assert describe(train) == "pictures: 45 images, 4x4 grey, 5 classes"
    assert describe(test) == "pictures (test): 5 images, 4x4 grey, 5 classes"
    chosen = places(whole, 0.1)
    assert torch.equal(test.images, whole.images[chosen]) and torch.equal(test.labels, whole.labels[chosen])
    others = [place for place in range(50) if place not in chosen.tolist()]
    assert torch.equal(train.images, whole.images[others]) and torch.equal(train.labels, whole.labels[others])
    assert train.notes == test.notes and train.notes[:-1] == whole.notes
    assert "5 of 50 images" in train.notes[-1]
    assert splits(options) == ("train",), "what exists in the source is what it was"
    assert train.images.is_contiguous() and train.label_counts.sum() == 45


def test_the_choice_is_the_same_every_time_and_scattered(tmp_path: Path) -> None:
    options = saved(tmp_path, 400)
    assert load(options).fingerprint == load(options).fingerprint
    first = places(load(DataOptions(source=options.source, holdout=0.0)), 0.1)
    assert len(first) == 40 and first[0] < 40 and first[-1] >= 360 and first.diff().max() < 100


@pytest.mark.parametrize(("number", "share", "count"), [(19, 0.5, 0), (20, 0.01, 1), (20, 0.5, 10), (25, 0.1, 2)])
def test_how_many_are_held_out(tmp_path: Path, number: int, share: float, count: int) -> None:
    options = DataOptions(source=saved(tmp_path, number).source, holdout=share)
    assert len(load(options)) == number - count
    if count:
        assert len(load(options, "test")) == count
    else:
        with pytest.raises(DataError, match=r"pictures.*train.*x_test"):
            load(options, "test")


def test_without_holdout_all_is_as_before(tmp_path: Path) -> None:
    options = DataOptions(source=saved(tmp_path, 60).source, holdout=0.0)
    data = load(options)
    assert len(data) == 60 and data.notes == () and unseen(options, data) is None
    with pytest.raises(DataError, match=r"pictures.*train.*x_test"):
        load(options, "test")


def test_a_large_set_keeps_all_but_5000() -> None:
    assert len(places(numbered([0] * 200_000, 1), 0.1)) == MOST


def test_a_class_keeps_its_only_image() -> None:
    """30 classes of one image among 70 of another: half of all is held out, and no class is lost."""
    data = numbered([i for pair in ((0, 1 + i) for i in range(30)) for i in pair] + [0] * 40, 31)
    train = divided(data, 0.5)
    assert len(train) == 50 and (train.label_counts > 0).all()
    assert train.held_out is not None and train.held_out.label_counts.tolist() == [50] + [0] * 30
    alone = numbered(list(range(30)), 30)
    assert divided(alone, 0.5) is alone, "where every image is a class of its own, none can go"
    unused = numbered([1] * 30, 3)
    assert divided(unused, 0.1).label_counts.tolist() == [0, 27, 0]


def test_the_training_images_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, read = saved(tmp_path, 40), []
    before = Npz.read
    monkeypatch.setattr(Npz, "read", lambda self, split, *how: read.append(split) or before(self, split, *how))
    train = load(options)
    apart = unseen(options, train)
    assert read == ["train"] and apart is not None and apart.fingerprint == load(options, "test").fingerprint


def test_a_test_split_is_used_as_it_is(folder: Folder) -> None:
    files: dict[str, object] = {f"train/{name}/{i}.png": IMAGE for name in "ab" for i in range(30)}
    options = DataOptions(source=str(folder({**files, "test/a/1.png": (8, 8, 1), "test/b/1.png": (8, 8, 1)})))
    train = load(options)
    assert len(train) == 60 and train.held_out is None and train.notes == load(DataOptions(options.source)).notes
    apart = unseen(options, train)
    assert apart is not None and apart.spec == train.spec, "at the size of the training images"
    assert inspect(options).notes == train.notes


def test_a_test_split_of_another_kind_is_refused(tmp_path: Path) -> None:
    options = saved(tmp_path, 30, x_test=np.zeros((3, 4, 4, 3), np.uint8))
    train = load(options)
    assert len(train) == 30
    with pytest.raises(DataError, match=r"pictures.*4x4 grey.*test.*4x4 RGB"):
        unseen(options, train)


def test_a_test_split_without_labels_will_do(tmp_path: Path) -> None:
    options = saved(tmp_path, 30, y_train=np.arange(30) % 2, x_test=np.zeros((3, 4, 4), np.uint8))
    apart = unseen(options, load(options))
    assert apart is not None and apart.labels is None


def test_an_inspection_looks_at_everything_and_says_what_is_held_out(tmp_path: Path) -> None:
    options = saved(tmp_path, 50, y_train=np.arange(50) % 5)
    found = inspect(options)
    assert found.counts == {"train": 50} and sum(found.classes.values()) == 50
    assert set(load(options).notes) <= set(found.notes), "an inspection also looks for copies"
    whole = inspect(DataOptions(options.source, holdout=0.0)).notes
    assert not set(load(options).notes) & set(whole)
