"""Arrays of images in the shapes and types that people store, as (N, H, W, C) whose values mean what they meant.

    uint8, uint16      as they are
    other whole        0..255 or 0..65535
    float              0..1, -1..1 or 0..255
    bool               black and white

Channels may come first. What none of this fits is refused, and `data.range` gives the values of black and white.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.free_memory import free_memory
from fromnoise.common.text import in_bytes
from fromnoise.data.value_range import DARK

CHANNELS = (1, 3, 4)
_ROWS = 64  # images converted at once: no second array of another type is needed
_NARROWEST = 4  # pixels; a side of 3 is the channels


class NotImages(Exception):
    """Why an array cannot be used, as the end of a sentence that begins with its name."""


def as_images(array: NDArray[Any], *, ranged: bool) -> tuple[NDArray[Any], tuple[str, ...]]:
    """(N, H, W, C) of uint8 or uint16, and what was done; of any number type where `ranged`: the range is given.

    Raises NotImages.
    """
    images, notes = _channels_last(array)
    if array.dtype.kind not in "buif":
        raise NotImages(f"of type {array.dtype}, but expected numbers")
    if array.dtype in (np.uint8, np.uint16) or ranged:
        if array.dtype.kind == "f":
            _check_finite(images, float(images.min()), float(images.max()))
        return images, notes
    _check_fits(images)
    if array.dtype == np.bool_:
        return images.view(np.uint8) * np.uint8(255), notes
    low, high = float(images.min()), float(images.max())
    if array.dtype.kind == "f":
        converted, said = _from_floats(images, low, high)
        return converted, notes + said
    if low < 0 or high > 65535:
        raise NotImages(f"of type {array.dtype} with values {low:,.0f} to {high:,.0f}, {_EXPECTED}")
    return images.astype(np.uint8 if high <= 255 else np.uint16), notes


_ADVICE = "; --set data.range=LOW-HIGH gives the values of black and white"
_EXPECTED = f"but expected 0 to 255, or 0 to 1{_ADVICE}"


def _channels_last(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    if array.ndim == 3 and 0 not in array.shape:
        return array[..., None], ()
    if array.ndim == 4 and 0 not in array.shape:
        first = array.shape[1] in CHANNELS and min(array.shape[2:]) >= _NARROWEST
        if array.shape[3] in CHANNELS and (array.shape[1] >= _NARROWEST or not first):
            return array, ()
        if first:
            return array.transpose(0, 2, 3, 1), ("channels come first in the array, and were put last",)
    raise NotImages(f"of shape {array.shape}, but expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4")


def _check_finite(images: NDArray[Any], low: float, high: float) -> None:
    if not np.isfinite([low, high]).all():
        raise NotImages(f"of type {images.dtype} with values that are not finite")


def _check_fits(images: NDArray[Any]) -> None:
    """NotImages where a copy of one byte for each value does not fit the memory."""
    free = free_memory()
    if free is not None and images.size > free:
        raise NotImages(
            f"of type {images.dtype}, of which {in_bytes(images.size)} would be made in {in_bytes(free)} of free "
            "memory; --set data.range=LOW-HIGH, the values of black and white, makes them on the disk"
        )


def _from_floats(images: NDArray[Any], low: float, high: float) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    _check_finite(images, low, high)
    if low >= 0 and high <= 1:
        return _mapped(images, lambda x: x * 255), ("values 0..1 became 0..255",)
    if -1 <= low < 0 and high <= 1 and (low < -0.5 or high > 0.5):
        return _mapped(images, lambda x: (x + 1) * 127.5), ("values -1..1 became 0..255",)
    if low >= 0 and high <= 255:
        if high <= DARK and not _whole(images):  # 0..1.02 would become black and nearly black
            narrow = f"with values {low:.4g} to {high:.4g}, which are neither 0 to 1 nor most of 0 to 255"
            raise NotImages(f"of type {images.dtype} {narrow}{_ADVICE}")
        return _mapped(images, lambda x: x), ()
    raise NotImages(f"of type {images.dtype} with values {low:.4g} to {high:.4g}, {_EXPECTED}")


def _whole(images: NDArray[Any]) -> bool:
    """Whether all values are whole numbers."""
    parts = (images[start : start + _ROWS] for start in range(0, len(images), _ROWS))
    return all(bool((np.rint(part) == part).all()) for part in parts)


def _mapped(images: NDArray[Any], rule: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[np.uint8]:
    """Each value by `rule` to the nearest whole number."""
    found = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), _ROWS):
        found[start : start + _ROWS] = np.rint(rule(images[start : start + _ROWS].astype(np.float64)))
    return found
