"""IDX as the relatives of MNIST have it: EMNIST, QMNIST and others."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from fromnoise.common.errors import DataError
from fromnoise.data import load, splits
from fromnoise.settings import DataOptions

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
LABELS = np.array([1, 2, 26, 1, 2, 26])
TYPES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def typed(values: np.ndarray, kind: str) -> bytes:
    """The bytes of an IDX file whose values are of this type."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, TYPES[kind], values.ndim, *values.shape)
    return head + values.astype(kind).tobytes()


def put(root: Path, name: str, values: np.ndarray, kind: str = "u1") -> Path:
    (root / name).write_bytes(gzip.compress(typed(values, kind)) if name.endswith(".gz") else typed(values, kind))
    return root / name


@pytest.mark.parametrize("name", ["emnist-letters", "EMNIST-balanced", "emnist-mnist"])
def test_emnist_is_turned_upright_and_its_splits_belong_together(tmp_path: Path, name: str) -> None:
    lying = IMAGES.transpose(0, 2, 1)
    first = put(tmp_path, f"{name}-train-images-idx3-ubyte.gz", lying)
    put(tmp_path, f"{name}-train-labels-idx1-ubyte.gz", LABELS)
    put(tmp_path, f"{name}-test-images-idx3-ubyte.gz", lying[:3])
    put(tmp_path, f"{name}-test-labels-idx1-ubyte.gz", LABELS[:3])
    for source in (first, tmp_path):
        train, test = load(str(source)), load(str(source), "test")
        assert (train.images[:, 0].numpy() == IMAGES).all() and (test.images[:, 0].numpy() == IMAGES[:3]).all()
        assert train.spec.classes == ("1", "2", "26") and train.labels is not None
        assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert any("EMNIST" in note for note in train.notes)
    put(tmp_path, "emnist-digits-test-images-idx3-ubyte.gz", lying)
    assert len(load(str(first), "test")) == 3, "another set's test split is not this one's"


@pytest.mark.parametrize("name", ["kmnist", "kemnist", "train"])
def test_others_are_left_as_they_are(tmp_path: Path, name: str) -> None:
    assert (load(str(put(tmp_path, f"{name}-images-idx3-ubyte", IMAGES))).images[:, 0].numpy() == IMAGES).all()


def test_qmnist_has_its_classes_in_the_first_of_eight_columns(tmp_path: Path) -> None:
    columns = np.stack([LABELS, *(np.arange(6) * 1000 + i for i in range(7))], axis=1)
    for split in ("train", "test"):
        put(tmp_path, f"qmnist-{split}-images-idx3-ubyte.gz", IMAGES)
        put(tmp_path, f"qmnist-{split}-labels-idx2-int.gz", columns, ">i4")
    assert splits(DataOptions(source=str(tmp_path))) == ("train", "test")
    for split in ("train", "test"):
        data = load(str(tmp_path), split)  # type: ignore[arg-type]
        assert data.spec.classes == ("1", "2", "26") and data.labels is not None
        assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert load(str(tmp_path), classes="none").labels is None


@pytest.mark.parametrize("kind", [">i2", ">i4", ">f4", ">f8"])
def test_values_of_other_types(tmp_path: Path, kind: str) -> None:
    values = IMAGES / 255 if kind == ">f8" else IMAGES
    assert (load(str(put(tmp_path, "train-images-idx3", values, kind))).images[:, 0].numpy() == IMAGES).all()


def test_a_negative_label_is_no_class(tmp_path: Path) -> None:
    path = put(tmp_path, "train-images-idx3-ubyte", IMAGES)
    put(tmp_path, "train-labels-idx1-int", LABELS - 2, ">i4")
    with pytest.raises(DataError, match="labels-idx1-int"):
        load(str(path))


@pytest.mark.parametrize("packed", [False, True])
def test_a_claim_beyond_the_file_is_refused_before_memory_is_taken(tmp_path: Path, packed: bool) -> None:
    head = struct.pack(">BBBBIII", 0, 0, 8, 3, 8 * 1024, 1024, 1024)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(head + bytes(99)) if packed else head + bytes(99))
    with pytest.raises(DataError, match="8,589,934,592"):
        load(str(path))


def test_a_claim_beyond_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fromnoise.data.room.free_memory", lambda: 300)
    with pytest.raises(DataError, match="memory"):
        load(str(put(tmp_path, "train-images-idx3-ubyte", IMAGES)))
