"""IDX, the format of MNIST and the like, plain or gzipped.

    00 00 T d | d sizes, big-endian 32 bits | values, last axis fastest               d = 3: (N, H, W); 1: (N,)

T is the type of the values: 08 uint8, 09 int8, 0b int16, 0c int32, 0d float32, 0e float64, the larger ones big-endian.
EMNIST stores images lying on their side, which its files' names tell; QMNIST's labels are the first of 8 columns.
Format: Y. LeCun, C. Cortes, C. Burges, The MNIST database. EMNIST: G. Cohen et al., https://arxiv.org/abs/1702.05373.
QMNIST: C. Yadav, L. Bottou, https://arxiv.org/abs/1905.10498.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable
from fromnoise.data.area import Area, Memory
from fromnoise.data.array_images import NotImages, as_images
from fromnoise.data.source import SourceImages, from_arrays, named_values, no_split, positions
from fromnoise.data.state import state_of
from fromnoise.settings import DataOptions

LARGEST_BYTES = 8 * 2**30
_TYPES = {8: "u1", 9: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_PACKED = 1032  # bytes that gzip can make of one
_CHUNK = 1 << 20
_NAME = re.compile(r"(images|labels)[-._]idx[1-4](-(ubyte|byte|short|int|float|double))?(\.gz)?$", re.IGNORECASE)
_SPLIT = re.compile(r"train|t10k|test", re.IGNORECASE)
_LYING = re.compile(r"(^|[^a-z])emnist", re.IGNORECASE)
_QMNIST_COLUMNS = 8


class Idx:
    """Pairs of IDX files: for each split the images and, if there are any, the labels.

    contents gives the published SHA-256 of a file's unpacked bytes, by the file's plain name.
    """

    def __init__(
        self,
        name: str,
        pairs: Mapping[str, tuple[Path, Path | None]],
        classes: tuple[str, ...] = (),
        contents: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._pairs = dict(pairs)
        self._classes = classes
        self._contents = dict(contents or {})

    def splits(self) -> tuple[str, ...]:
        """Those with an images file."""
        return tuple(self._pairs)

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images and labels of a split; DataError when a file is damaged or the two do not match."""
        if split not in self._pairs:
            raise no_split(self.name, split, self.splits(), "put its IDX files beside the others")
        images_path, labels_path = self._pairs[split]
        images = read_idx(images_path, area)
        notes = self._strange(images_path, images)
        try:
            images, said = as_images(images, ranged=options.range not in ("auto", "full"))
        except NotImages as error:
            raise _damaged(images_path, f"holds an array {error}") from error
        notes += said
        if _LYING.search(images_path.name):
            images = images.transpose(0, 2, 1, 3)
            notes += ("EMNIST stores images lying on their side: they were turned upright",)
        if labels_path is None or options.classes == "none":
            notes += () if labels_path else ("no labels file was found, so the images have no classes",)
            return from_arrays(images, None, (), options, notes, area)
        values = self._labels(labels_path, len(images))
        notes += self._strange(labels_path, values)
        labels, classes = self._named(split, values.astype(np.int64))
        return from_arrays(images, labels, classes, options, notes, area)

    def state(self) -> str:
        """By the sizes and times of its files."""
        return state_of(path for pair in self._pairs.values() for path in pair if path)

    def _labels(self, path: Path, number: int | None = None) -> NDArray[Any]:
        values = read_idx(path)
        if values.ndim == 2 and values.shape[1] in (1, _QMNIST_COLUMNS):
            values = values[:, 0]
        wanted = (len(values) if number is None else number,)
        if values.shape != wanted or values.dtype.kind not in "iu" or values.min() < 0:
            raise _damaged(
                path,
                f"holds an array of type {values.dtype} and shape {values.shape}, not one label from 0 for each of "
                f"{wanted[0]:,} images",
            )
        return values

    def _named(self, split: str, values: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Labels and class names: the set's own where they are known, else the numbers in the train split."""
        if self._classes:
            if values.max() >= len(self._classes):
                raise DataError(
                    f"{self.name} has label {values.max()}, but expected 0 to {len(self._classes) - 1}; "
                    "replace its labels file with an intact copy"
                )
            return values, self._classes
        train = self._pairs.get("train", (None, None))[1]
        base = values
        if split != "train" and train is not None:
            base = self._labels(train).astype(np.int64)
        classes = named_values(base)
        return positions(values, classes, self.name), classes

    def _strange(self, path: Path, values: NDArray[Any]) -> tuple[str, ...]:
        """A note when a named set's file is not the published one: its numbers would not compare."""
        plain = path.name.removesuffix(".gz")
        known = self._contents.get(plain)
        if not known:
            return ()
        digest = hashlib.sha256(_head(values.shape))
        digest.update(np.ascontiguousarray(values).data)
        return () if digest.hexdigest() == known else (f"{plain} is not the published {self.name} file",)


def _head(shape: tuple[int, ...]) -> bytes:
    """The first bytes of an IDX file that holds a uint8 array of this shape."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def read_idx(path: Path, area: Area | None = None) -> NDArray[Any]:
    """The array of an IDX file, plain or gzipped; DataError when it is damaged, something else or too large.

    area: what gives a file for an array that is too large for the memory.
    """
    area = area or Memory()
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            most = os.fstat(file.fileno()).st_size * (MOST_PACKED if zipped else 1)
            file.seek(0)
            if not zipped:
                return _parse(file, path, most, area)
            with gzip.open(file) as stream:
                return _parse(cast(BinaryIO, stream), path, most, area)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _damaged(path, f"cannot be read ({error})") from error


def _parse(stream: BinaryIO, path: Path, most: int, area: Area) -> NDArray[Any]:
    """most: how many bytes the file can hold, whatever it claims."""
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise _damaged(path, "is not an IDX file (its first bytes are not 00 00 08 03 or 00 00 08 01)")
    if head[2] not in _TYPES:
        raise _damaged(path, f"holds values of IDX type {head[2]:02x}, which there is not")
    shape = struct.unpack(f">{head[3]}I", stream.read(4 * head[3]))
    kind = np.dtype(_TYPES[head[2]])
    size = math.prod(shape) * kind.itemsize
    if size > LARGEST_BYTES:
        raise _damaged(path, f"claims an array of {size:,} bytes, more than {LARGEST_BYTES:,}")
    if size > most:
        raise _damaged(path, f"claims an array of {size:,} bytes but holds fewer")
    spare = area.spare(size, printable(str(path)))
    values = np.empty(size, dtype=np.uint8) if spare is None else np.memmap(spare, np.uint8, "r+", shape=size)
    for start in range(0, size, _CHUNK):
        piece = stream.read(min(_CHUNK, size - start))
        values[start : start + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        if len(piece) < min(_CHUNK, size - start):
            raise _damaged(path, f"claims an array of {size:,} bytes but holds {start + len(piece):,}")
    if stream.read(1):
        raise _damaged(path, f"claims an array of {size:,} bytes but holds more")
    return values.view(kind).astype(kind.newbyteorder("="), copy=False).reshape(shape)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{printable(str(path))} {what}; replace it with an intact copy")


def is_idx(path: Path) -> bool:
    """Whether a file is IDX by its first bytes (looking into gzip) rather than by its name."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if head[:2] == b"\x1f\x8b":
                file.seek(0)
                with gzip.open(file) as stream:
                    head = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= 4


def split_of(name: str) -> str:
    """The split that a file's name tells: MNIST's t10k, or test, is the test split."""
    return "test" if re.search(r"t10k|test", name, re.IGNORECASE) else "train"


def find_pairs(paths: Sequence[Path]) -> dict[str, tuple[Path, Path | None]]:
    """Splits to (images file, labels file or None) among `paths`, by their names.

    DataError when two images files claim the same split.
    """
    images: dict[str, Path] = {}
    labels = {_stem(path.name): path for path in paths if _role(path.name) == "labels"}
    for path in sorted(paths):
        if _role(path.name) != "images":
            continue
        split = split_of(path.name)
        before = images.get(split)
        if before is not None and _stem(before.name) != _stem(path.name):
            raise DataError(
                f"{printable(str(path.parent))} has two IDX files for its {split} split, "
                f"{printable(before.name)} and {printable(path.name)}; give one of them instead of the folder"
            )
        images.setdefault(split, path)
    ordered = {split: images[split] for split in ("train", "test") if split in images}
    return {split: (path, labels.get(_stem(path.name))) for split, path in ordered.items()}


def pairs_around(path: Path) -> dict[str, tuple[Path, Path | None]]:
    """The images file `path` as train split, the test split of the same set beside it, and the labels of both."""
    files = [file for file in sorted(path.parent.iterdir()) if _role(file.name)]
    pairs: dict[str, tuple[Path, Path | None]] = {"train": (path, _labels_of(path, files))}
    if not _role(path.name) or "train" not in path.name.lower():
        return pairs
    for file in files:
        same = _SPLIT.sub("", _stem(file.name)) == _SPLIT.sub("", _stem(path.name))
        if same and _role(file.name) == "images" and split_of(file.name) == "test":
            pairs.setdefault("test", (file, _labels_of(file, files)))
    return pairs


def _labels_of(path: Path, files: Sequence[Path]) -> Path | None:
    """The labels file whose name matches that of an images file."""
    if _role(path.name) != "images":
        return None
    return next((f for f in files if _role(f.name) == "labels" and _stem(f.name) == _stem(path.name)), None)


def _role(name: str) -> str:
    found = _NAME.search(name)
    return found.group(1).lower() if found else ""


def _stem(name: str) -> str:
    """What an images file and its labels file have in common."""
    return _NAME.sub("", name).lower()
