"""Arrays that lie in a mapped file: which file that is, and reading ahead in it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = mmap.ALLOCATIONGRANULARITY


def is_mapped(images: NDArray[Any]) -> bool:
    """Whether an array lies in a mapped file."""
    return getattr(images, "_mmap", None) is not None


def identity(images: NDArray[Any]) -> str:
    """Which part of which file a mapped array is, and how that file was when it was last written."""
    about = os.stat(images.filename)  # type: ignore[attr-defined]  # noqa: PTH116
    start = _start(images)
    return repr((about.st_ino, about.st_size, about.st_mtime_ns, start, images.dtype.str, images.shape, images.strides))


def _start(images: NDArray[Any]) -> int:
    """Bytes before an array in its map."""
    mapped = np.frombuffer(images._mmap, dtype=np.uint8, count=1)  # type: ignore[attr-defined]
    return int(images.ctypes.data - mapped.ctypes.data)


def map_pixels(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """The file at `path` as uint8 of this shape, to read only."""
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


def read_ahead(images: NDArray[Any]) -> Callable[[int, int], None]:
    """A function that has the system read images `begin` to `end` from the disk ahead of their use, all at once."""
    mapped = getattr(images, "_mmap", None)
    if mapped is None or not hasattr(mmap, "MADV_WILLNEED") or not len(images):
        return lambda begin, end: None
    mapped.madvise(mmap.MADV_RANDOM)  # or each image would bring its neighbours, which come much later
    start = _start(images)
    size = images.strides[0]

    def advise(begin: int, end: int) -> None:
        first = (start + begin * size) // _PAGE * _PAGE
        mapped.madvise(mmap.MADV_WILLNEED, first, start + end * size - first)

    return advise
