"""An .npy file of images, used where it lies: a file of uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) is not copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable
from fromnoise.data.area import Area
from fromnoise.data.array_images import NotImages, as_images
from fromnoise.data.source import SourceImages, from_arrays, no_split
from fromnoise.data.state import state_of
from fromnoise.settings import DataOptions


class Npy:
    """One .npy file; it has no labels."""

    def __init__(self, path: Path) -> None:
        self.name = printable(path.stem)
        self._path = path

    def splits(self) -> tuple[str, ...]:
        """One."""
        return ("train",)

    def state(self) -> str:
        """By the size and time of the file."""
        return state_of([self._path])

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images; DataError for other types or shapes."""
        if split != "train":
            raise no_split(self.name, split, self.splits(), "save both as x_train and x_test of an .npz")
        try:
            images, notes = as_images(self._mapped(), ranged=options.range not in ("auto", "full"))
        except NotImages as error:
            raise self._wrong(f"holds an array {error}") from error
        return from_arrays(images, None, (), options, notes, area)

    def _mapped(self) -> NDArray[Any]:
        try:
            found = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise self._wrong(f"cannot be opened ({error.strerror or type(error).__name__})") from error
        except Exception as error:  # damaged headers make NumPy's parser raise nearly every type there is
            raise self._wrong("is damaged or holds pickled objects") from error
        if isinstance(found, np.ndarray):
            return found
        found.close()
        raise DataError(f"{printable(str(self._path))} is an archive, not one array; name it .npz or save one array")

    def _wrong(self, what: str) -> DataError:
        return DataError(f"{printable(str(self._path))} {what}; save it again in that form")
