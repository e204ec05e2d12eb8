"""NumPy archives of images, without pickles.

Keys: `images` and, if there are labels, `labels`; or `arr_0` and `arr_1`, as ADM's sampling scripts write them;
or `x_train`, `y_train`, `x_test`, `y_test`, as Keras' data sets come. Images are uint8 (N, H, W, C) or
(N, H, W), labels whole numbers (N,) from 0. `classes`, an array of strings, names them.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable, some
from fromnoise.data.source import SourceImages, from_arrays, named_values, no_split, positions
from fromnoise.settings import DataOptions

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # how an archive begins, and an empty one
KEYS = {
    "train": (("images", "labels"), ("arr_0", "arr_1"), ("x_train", "y_train")),
    "test": (("x_test", "y_test"),),
}


class Npz:
    """One .npz file."""

    def __init__(self, path: Path) -> None:
        self.name = printable(path.stem)
        self._path = path

    def splits(self) -> tuple[str, ...]:
        """The test split exists only under Keras' key x_test."""
        with self._open() as archive:
            return self._splits(archive)

    def read(self, split: str, options: DataOptions) -> SourceImages:
        """The images and labels of a split; DataError for other keys, types or shapes."""
        with self._open() as archive:
            known = self._splits(archive)
            if split not in known:
                raise no_split(self.name, split, known, "save it under the keys x_test and y_test beside x_train")
            images_key, labels_key = self._keys(archive, split)
            images = self._images(self._array(archive, images_key), images_key)
            if labels_key not in archive.files:
                return from_arrays(images, None, (), options)
            labels = self._labels(self._array(archive, labels_key), labels_key, len(images))
            labels, classes = self._named(archive, labels)
        return from_arrays(images, labels, classes, options)

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

    def _splits(self, archive: Any) -> tuple[str, ...]:
        known = tuple(split for split in KEYS if any(pair[0] in archive.files for pair in KEYS[split]))
        if "train" not in known:
            names = some([printable(key) for key in archive.files]) or "nothing"
            raise self._wrong(f"holds {names}, but expected a key images (and labels), arr_0 or x_train")
        return known

    def _keys(self, archive: Any, split: str) -> tuple[str, str]:
        return next(pair for pair in KEYS[split] if pair[0] in archive.files)

    def _array(self, archive: Any, key: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = archive[key]
        except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise self._wrong(f"has a damaged or pickled array {printable(key)}") from error
        if not isinstance(array, np.ndarray):
            raise self._wrong(f"has {printable(key)}, which is not an array")
        return array

    def _images(self, images: NDArray[Any], key: str) -> NDArray[np.uint8]:
        if images.dtype != np.uint8:
            raise self._wrong(f"has {key} of type {images.dtype}, but expected uint8, 0 to 255")
        if images.ndim == 3:
            images = images[..., None]
        if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
            raise self._wrong(f"has {key} of shape {images.shape}, but expected (N, H, W) or (N, H, W, 1, 3 or 4)")
        return images

    def _labels(self, labels: NDArray[Any], key: str, number: int) -> NDArray[np.int64]:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]  # Keras' CIFAR comes like this
        if labels.shape != (number,) or labels.dtype.kind not in "iu" or int(labels.min()) < 0:
            raise self._wrong(
                f"has {key} of type {labels.dtype} and shape {labels.shape}, "
                f"but expected one whole number from 0 for each of {number:,} images"
            )
        return labels.astype(np.int64)

    def _named(self, archive: Any, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Labels and class names: from `classes`, else the numbers that occur in the train split."""
        if "classes" in archive.files:
            classes = tuple(printable(str(name)) for name in self._array(archive, "classes").ravel())
            if labels.max() >= len(classes):
                raise self._wrong(f"has label {labels.max()}, but names only {len(classes)} classes")
            return labels, classes
        base = labels
        if "y_train" in archive.files:
            values = self._array(archive, "y_train")
            base = self._labels(values, "y_train", len(values))
        classes = named_values(base)
        return positions(labels, classes, self.name), classes

    def _wrong(self, what: str) -> DataError:
        return DataError(f"{printable(str(self._path))} {what}; save it again in that form")
