"""NumPy archives of images, without pickles.

`npz_keys` finds images and labels by their names, `array_images` reads their shapes and types. Labels are whole numbers
(N,) or (N, 1) from 0, one-hot rows, or words. `classes`, an array of strings, names the numbers. The header of an array
is looked at first: what it claims must be there, and fit into memory.
"""

from __future__ import annotations

import math
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable, some
from fromnoise.data.area import Area, Memory
from fromnoise.data.array_images import NotImages, as_images
from fromnoise.data.conditions import Numbers, condition_names
from fromnoise.data.idx import MOST_PACKED
from fromnoise.data.npz_keys import NAMES, Keys, find_keys, find_numbers
from fromnoise.data.source import SourceImages, from_arrays, named_values, no_split, positions
from fromnoise.data.state import state_of
from fromnoise.settings import DataOptions

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # how an archive begins, and an empty one

_LARGEST_LABEL = np.iinfo(np.int64).max  # above it are negative numbers that were stored as unsigned


class Npz:
    """One .npz file."""

    def __init__(self, path: Path) -> None:
        self.name = printable(path.stem)
        self._path = path

    def splits(self) -> tuple[str, ...]:
        """Those whose names are among the keys."""
        with self._open() as archive:
            return tuple(self._keys(archive)[0])

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images and labels of a split; DataError for other keys, types or shapes."""
        with self._open() as archive:
            known, aside = self._keys(archive)
            if split not in known:
                raise no_split(
                    self.name, split, tuple(known), "save it under the keys x_test and y_test beside x_train"
                )
            keys, wanted = known[split], condition_names(options.conditions)
            used = {name for one in known.values() for name in find_numbers(aside, one.images, wanted).values()}
            aside = [name for name in aside if name not in used]
            notes = (f"arrays left aside: {some([printable(name) for name in aside])}",) if aside else ()
            images, said = self._images(archive, keys.images, options, area or Memory())
            numbers = self._numbers(archive, keys, split, wanted, len(images))
            labels: NDArray[np.int64] | None = None
            classes: tuple[str, ...] = ()
            if keys.labels is not None and options.classes != "none":
                labels, classes = self._named(archive, self._labels(archive, keys.labels, len(images)), known["train"])
        return replace(from_arrays(images, labels, classes, options, notes + said, area), conditions=numbers)

    def state(self) -> str:
        """By the sizes and times of its files."""
        return state_of((self._path,))

    def _open(self) -> Any:
        try:
            with self._path.open("rb") as file:
                is_zip = file.read(len(_ZIP[0])) in _ZIP
            if is_zip:
                return np.load(self._path, allow_pickle=False)
        except OSError as error:
            raise self._wrong(f"cannot be opened ({error})") from error
        except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise self._wrong("is not a whole .npz archive") from error
        # Of such files NumPy would say how to open them as pickles, which nobody should do.
        raise self._wrong("is not an .npz archive")

    def _keys(self, archive: Any) -> tuple[dict[str, Keys], list[str]]:
        known, aside = find_keys(archive.files)
        if "train" not in known:
            names = some([printable(key) for key in archive.files]) or "nothing"
            raise self._wrong(f"holds {names}, but expected a key images (and labels), arr_0, x_train or train_images")
        return known, aside

    def _array(self, archive: Any, key: str, area: Area | None = None) -> NDArray[Any]:
        try:
            if not _is_array(archive, key):
                raise self._wrong(f"has {printable(key)}, which is not an array")
            size = _claimed(archive, key)
        except (MemoryError, DataError):
            raise
        except Exception as error:  # damaged headers make NumPy's parser raise nearly every type there is
            raise self._wrong(f"has a damaged or pickled array {printable(key)}") from error
        spare = (area or Memory()).spare(size, printable(str(self._path)))
        try:
            array: NDArray[Any] = archive[key] if spare is None else _unpacked(archive, key, spare)
            if array.dtype.kind == "S":
                array = np.char.decode(array, "utf-8")
            if array.dtype.kind == "U":
                array.ravel().tolist()  # raises where a number in it stands for no character
        except MemoryError:
            raise
        except Exception as error:
            raise self._wrong(f"has a damaged or pickled array {printable(key)}") from error
        return array

    def _images(self, archive: Any, key: str, options: DataOptions, area: Area) -> tuple[NDArray[Any], tuple[str, ...]]:
        try:
            return as_images(self._array(archive, key, area), ranged=options.range not in ("auto", "full"))
        except NotImages as error:
            raise self._wrong(f"has {printable(key)} {error}") from error

    def _labels(self, archive: Any, key: str, number: int) -> NDArray[Any]:
        """One label for each image: whole numbers from 0, or words."""
        stored = labels = self._array(archive, key)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # MedMNIST and Keras' CIFAR come like this
        elif labels.ndim == 2 and labels.dtype.kind in "buif" and ((labels == 0) | (labels == 1)).all():
            labels = labels.argmax(1) if (labels.sum(1) == 1).all() else labels
        whole = labels.dtype.kind in "iu" and labels.size and 0 <= labels.min() <= labels.max() <= _LARGEST_LABEL
        if labels.shape != (number,) or not (whole or labels.dtype.kind in "US"):
            raise DataError(
                f"{printable(str(self._path))} has {printable(key)} of type {stored.dtype} and shape {stored.shape}, "
                f"but expected one whole number from 0 for each of {number:,} images; save it again in that form, or "
                "leave labels out by --set data.classes=none"
            )
        return labels.astype(np.int64) if whole else labels.astype(np.str_)

    def _numbers(self, archive: Any, keys: Keys, split: str, wanted: Sequence[str], number: int) -> Numbers:
        """The numbers that images are conditioned on; of other splits than train they may be missing."""
        found = find_numbers(archive.files, keys.images, wanted)
        if split == "train" and (missing := [one for one in wanted if one not in found]):
            names = some([printable(name) for name in archive.files])
            raise DataError(
                f"{printable(str(self._path))} holds {names}, but no key {printable(missing[0])}; add it, or name "
                "another with --conditions"
            )
        return {
            one: self._number(archive, found[one], number) if one in found else np.full(number, np.nan, np.float32)
            for one in wanted
        }

    def _number(self, archive: Any, key: str, number: int) -> NDArray[np.float32]:
        stored = self._array(archive, key)
        values = stored[:, 0] if stored.ndim == 2 and stored.shape[1] == 1 else stored
        if values.shape != (number,) or values.dtype.kind not in "buif" or np.isinf(values.astype(np.float32)).any():
            raise self._wrong(
                f"has {printable(key)} of type {stored.dtype} and shape {stored.shape}, but a condition is one finite "
                f"number (or NaN where it is not known) for each of {number:,} images"
            )
        return values.astype(np.float32)

    def _named(self, archive: Any, labels: NDArray[Any], train: Keys) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Labels and class names: from `classes`, else the labels that occur in the train split."""
        names = next((name for name in NAMES if name in archive.files), None)
        if names is not None and labels.dtype.kind == "i":
            classes = tuple(printable(str(name)) for name in self._array(archive, names).ravel())
            if labels.max() >= len(classes):
                raise self._wrong(f"has label {labels.max()}, but names only {len(classes)} classes")
            return labels, classes
        base = labels
        if train.labels is not None:
            number = _header(archive, train.images)[0][0]
            base = self._labels(archive, train.labels, number)
        classes = named_values(base)
        return positions(labels, classes, self.name), classes

    def _wrong(self, what: str) -> DataError:
        return DataError(f"{printable(str(self._path))} {what}; save it again in that form")


def _unpacked(archive: Any, key: str, file: Path) -> NDArray[Any]:
    """A member, unpacked to `file` and mapped."""
    with archive.zip.open(_member(archive, key)) as packed, file.open("r+b") as out:
        shutil.copyfileobj(packed, out, 1 << 20)
    return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _header(archive: Any, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and type that a member claims to have."""
    with archive.zip.open(_member(archive, key)) as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[version](file)
    return shape, dtype


def _is_array(archive: Any, key: str) -> bool:
    with archive.zip.open(_member(archive, key)) as file:
        return bool(file.read(6) == np.lib.format.MAGIC_PREFIX)


def _claimed(archive: Any, key: str) -> int:
    """The bytes of an array, by its header; ValueError where they are not there or where they are pickled objects."""
    shape, dtype = _header(archive, key)
    size = math.prod(shape) * dtype.itemsize
    about = archive.zip.getinfo(_member(archive, key))
    packed = about.compress_size * (1 if about.compress_type == zipfile.ZIP_STORED else MOST_PACKED)
    if dtype.hasobject or min(about.file_size, packed) < size:
        raise ValueError("objects, or fewer bytes than the header claims")
    return size


def _member(archive: Any, key: str) -> str:
    return key if key in archive.zip.namelist() else f"{key}.npy"
