"""Memory for images: refused before any are read where they cannot fit, and no second copy of those that do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.free_memory import free_memory

_IMAGES = 256  # moved at once


def check_room(size: int, where: str) -> None:
    """DataError where `size` bytes are more than the memory that is free."""
    free = free_memory()
    if free is not None and size > free:
        raise DataError(
            f"{where} claims to hold {_gigabytes(size)}, but only {_gigabytes(free)} of memory are free; give fewer or "
            "smaller images, or let FROMNOISE_CACHE name a folder with room for them on its disk"
        )


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C) as contiguous, writable (N, C, H, W), in the same memory where it can be.

    `images` is used up: its own values mean nothing afterwards.
    """
    number, height, width, channels = images.shape
    moved = images.transpose(0, 3, 1, 2)
    if channels == 1 or not (images.flags.c_contiguous and images.flags.writeable):
        return np.require(moved, requirements=["C", "W"])
    found = images.reshape(number, channels, height, width)
    for start in range(0, number, _IMAGES):  # an image takes the same bytes in either order
        found[start : start + _IMAGES] = moved[start : start + _IMAGES].copy()
    return found


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GB" if size < 2**50 else f"{size:.2g} bytes"
