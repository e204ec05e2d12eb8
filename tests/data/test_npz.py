"""The .npz archives that people have: keys, shapes, value ranges and labels; and hostile ones."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fromnoise.common.errors import DataError
from fromnoise.data import ArrayData, load
from fromnoise.data.inspection import inspect
from fromnoise.settings import DataOptions

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (24, 8, 6, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
LABELS = np.arange(24) % 8


def npz(root: Path, **arrays: object) -> Path:
    np.savez(root / "data.npz", **arrays)  # type: ignore[arg-type]
    return root / "data.npz"


def read(path: Path, split: str = "train", **how: object) -> ArrayData:
    return load(str(path), split, holdout=0.0, **how)  # type: ignore[arg-type]


def pixels(data: ArrayData) -> np.ndarray:
    return data.images.permute(0, 2, 3, 1).numpy()


def test_three_splits_as_medmnist_has_them(tmp_path: Path) -> None:
    parts = {"train": COLOUR, "val": COLOUR[:10], "test": COLOUR[:9]}
    arrays = {f"{name}_images": images for name, images in parts.items()}
    arrays |= {f"{name}_labels": LABELS[: len(images), None] for name, images in parts.items()}
    path = npz(tmp_path, **arrays)
    found = inspect(DataOptions(source=str(path)))
    assert found.summary == "data: 24 images, 8x6 RGB, 8 classes"
    assert found.counts == {"train": 24, "val": 10, "test": 9}
    assert (pixels(read(path, "test")) == COLOUR[:9]).all()


@pytest.mark.parametrize(
    "keys",
    [
        *(("images", "labels"), ("arr_0", "arr_1"), ("data", "targets"), ("data", "labels"), ("X", "y")),
        *(("X_train", "Y_train"), ("train_x", "train_y"), ("train_images", "train_labels"), ("image", "label")),
    ],
)
def test_keys(tmp_path: Path, keys: tuple[str, str]) -> None:
    data = read(npz(tmp_path, **{keys[0]: COLOUR, keys[1]: LABELS, "mean": COLOUR.mean(0)}))
    assert (pixels(data) == COLOUR).all() and data.labels is not None and data.labels.tolist() == LABELS.tolist()
    assert any("mean" in note for note in data.notes)


@pytest.mark.parametrize("split", ["val", "valid", "validation"])
def test_validation_stands_for_test_where_there_is_none(tmp_path: Path, split: str) -> None:
    path = npz(tmp_path, **{"x_train": COLOUR, f"x_{split}": COLOUR[:5]})
    assert len(read(path, "test")) == 5


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (GREY[:, None], GREY[..., None]),
        (GREY, GREY[..., None]),
        (np.asfortranarray(COLOUR), COLOUR),
        (COLOUR.astype(np.int64), COLOUR),
        (COLOUR.astype(np.float32), COLOUR),
        (COLOUR / 255, COLOUR),
        ((COLOUR / 255).astype(np.float16), COLOUR),
        ((COLOUR / 127.5 - 1).astype(np.float32), COLOUR),
        (COLOUR.astype(">u4"), COLOUR),
    ],
)
def test_shapes_and_types(tmp_path: Path, stored: np.ndarray, wanted: np.ndarray) -> None:
    found = pixels(read(npz(tmp_path, images=stored)))
    assert np.abs(found.astype(int) - wanted).max() <= (stored.dtype == np.float16)


def test_names_of_classes_without_labels_are_said_to_be_left_aside(tmp_path: Path) -> None:
    data = read(npz(tmp_path, images=COLOUR, classes=LABELS))
    assert not data.spec.classes and "arrays left aside: classes" in data.notes
    assert not any("aside" in note for note in read(npz(tmp_path, images=COLOUR, labels=LABELS)).notes)


def test_floats_beyond_the_memory_are_refused_with_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fromnoise.data.array_images.free_memory", lambda: COLOUR.size - 1)
    for images in (COLOUR / 255, COLOUR.astype(np.int64), COLOUR > 127):
        with pytest.raises(DataError, match=r"free memory; --set data\.range=LOW-HIGH"):
            read(npz(tmp_path, images=images))
    assert len(read(npz(tmp_path, images=COLOUR / 255), range="0-1")) == len(COLOUR)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS[:, None], tuple("01234567")),
        (np.eye(8)[LABELS], tuple("01234567")),
        (LABELS.astype(np.uint8) + 3, ("3", "4", "5", "6", "7", "8", "9", "10")),
        (np.array(["cat", "dog"])[LABELS % 2], ("cat", "dog")),
        (np.array([b"cat", b"d\x1bg"])[LABELS % 2], ("cat", "d\\x1bg")),
    ],
)
def test_labels(tmp_path: Path, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    data = read(npz(tmp_path, images=COLOUR, labels=labels))
    assert data.spec.classes == classes
    assert data.labels is not None and data.labels.tolist() == (LABELS % len(classes)).tolist()
    assert read(npz(tmp_path, images=COLOUR, labels=labels), classes="none").labels is None


@pytest.mark.parametrize("labels", [np.full(24, 3), np.array(["cat"] * 24), np.zeros((24, 1), np.uint8)])
def test_one_class_alone_is_none_and_it_is_said(tmp_path: Path, labels: np.ndarray) -> None:
    data = read(npz(tmp_path, images=COLOUR, labels=labels))
    assert data.labels is None and data.spec.classes == ()
    assert any("one class alone" in note for note in data.notes)


def test_a_test_split_of_one_class_keeps_the_classes_of_the_training_images(tmp_path: Path) -> None:
    path = npz(tmp_path, x_train=COLOUR, y_train=LABELS, x_test=COLOUR[:4], y_test=np.full(4, 3))
    test = read(path, "test")
    assert test.labels is not None and test.labels.tolist() == [3] * 4 and test.spec.classes == tuple("01234567")


def member(header: str, body: bytes = b"") -> bytes:
    """A .npy file with this header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin1") + body


@pytest.mark.parametrize(
    "content",
    [
        member("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4, 4"),  # its bracket never closes
        member("{'descr': '|u1', 'fortran_order': False, 'shape': (4000000, 1000, 1000), }\n", b"\0" * 99),
        member("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 4, 4), }\n", b"\0" * 99),
        member("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n", b"\0" * 99),
        member("(" * 9000),
        member("\0"),
        member("'" + "\\x" * 9),
        b"\x93NUMPY\x03\x00\xff\xff\xff\xff",
        b"\x93NUMPY",
    ],
)
def test_a_damaged_header_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(DataError, match="images"):
        read(path)


def test_more_than_memory_holds_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, images=np.zeros((1000, 100, 100), np.uint8))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr("fromnoise.data.room.free_memory", lambda: 9_000_000)
    with pytest.raises(DataError, match="memory"):
        read(path)


def test_images_are_not_copied_on_their_way(tmp_path: Path) -> None:
    path = npz(tmp_path, images=np.zeros((3000, 64, 64, 3), np.uint8))
    tracemalloc.start()
    data = load(str(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert data.held_out is not None and peak < 1.5 * 3000 * 64 * 64 * 3
