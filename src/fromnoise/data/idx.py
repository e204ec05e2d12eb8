"""IDX, the format of MNIST and the like, plain or gzipped.

    00 00 08 d | d sizes, big-endian 32 bits | uint8 values, last axis fastest        d = 3: (N, H, W); 1: (N,)

Format: Y. LeCun, C. Cortes, C. Burges, The MNIST database. Only unsigned bytes (type 08) are images here.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable
from fromnoise.data.source import SourceImages, from_arrays, named_values, no_split, positions
from fromnoise.settings import DataOptions

LARGEST_BYTES = 8 * 2**30
_NAME = re.compile(r"(images|labels)[-._]idx[134](-ubyte)?(\.gz)?$", re.IGNORECASE)


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

    def read(self, split: str, options: DataOptions) -> SourceImages:
        """The images and labels of a split; DataError when a file is damaged or the two do not match."""
        if split not in self._pairs:
            raise no_split(self.name, split, self.splits(), "put its IDX files beside the others")
        images_path, labels_path = self._pairs[split]
        images = read_idx(images_path)
        notes = self._strange(images_path, images)
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
            raise _damaged(images_path, f"holds an array of shape {images.shape}, not images (N, H, W)")
        if labels_path is None:
            notes += ("no labels file was found, so the images have no classes",)
            return from_arrays(images, None, (), options, notes)
        values = self._labels(labels_path, len(images))
        notes += self._strange(labels_path, values)
        labels, classes = self._named(split, values.astype(np.int64))
        return from_arrays(images, labels, classes, options, notes)

    def _labels(self, path: Path, number: int) -> NDArray[np.uint8]:
        values = read_idx(path)
        if values.shape != (number,):
            raise _damaged(path, f"holds an array of shape {values.shape}, not one label for each of {number:,} images")
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
        base = values if split == "train" or train is None else read_idx(train).astype(np.int64)
        classes = named_values(base)
        return positions(values, classes, self.name), classes

    def _strange(self, path: Path, values: NDArray[np.uint8]) -> tuple[str, ...]:
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


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The uint8 array of an IDX file, plain or gzipped; DataError when it is damaged or something else."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not zipped:
                return _parse(file, path)
            with gzip.open(file) as stream:
                return _parse(cast(BinaryIO, stream), path)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _damaged(path, f"cannot be read ({error})") from error


def _parse(stream: BinaryIO, path: Path) -> NDArray[np.uint8]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise _damaged(path, "is not an IDX file (its first bytes are not 00 00 08 03 or 00 00 08 01)")
    if head[2] != 8:
        raise _damaged(path, f"holds values of IDX type {head[2]:02x}, not unsigned bytes (08)")
    shape = struct.unpack(f">{head[3]}I", stream.read(4 * head[3]))
    size = math.prod(shape)
    if size > LARGEST_BYTES:
        raise _damaged(path, f"claims an array of {size:,} bytes, more than {LARGEST_BYTES:,}")
    values = stream.read(size + 1)
    if len(values) != size:
        amount = "more" if len(values) > size else f"{len(values):,}"
        raise _damaged(path, f"claims an array of {size:,} bytes but holds {amount}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


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
    return len(head) == 4 and head[:3] == b"\0\0\x08" and 1 <= head[3] <= 4


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


def labels_beside(path: Path) -> Path | None:
    """The labels file in the same folder whose name matches that of an images file."""
    if _role(path.name) != "images":
        return None
    files = (file for file in sorted(path.parent.iterdir()) if _role(file.name) == "labels")
    return next((file for file in files if _stem(file.name) == _stem(path.name)), None)


def _role(name: str) -> str:
    found = _NAME.search(name)
    return found.group(1).lower() if found else ""


def _stem(name: str) -> str:
    """What an images file and its labels file have in common."""
    return _NAME.sub("", name).lower()
