"""Where the pixels of a source are put while it is read: in memory, or as `store_area` has it, in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fromnoise.data.room import check_room

BLOCK = 64  # images that are converted at once


class Area(Protocol):
    """Takes images in order, after `open` has said how many of which shape there will be at most."""

    def open(self, number: int, height: int, width: int, channels: int) -> None:
        """Begin, or begin again with another shape."""

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images (n, H, W, C)."""

    def taken(self) -> NDArray[np.uint8]:
        """All images so far, (N, H, W, C)."""

    def spare(self, size: int, where: str) -> Path | None:
        """A file of `size` bytes for what a source unpacks, None to unpack it in memory; DataError without room."""

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Now and then: put all that was appended, and what `state` gives, on the disk, to go on from after a kill."""

    def kept(self) -> Mapping[str, Any] | None:
        """The last such state, with its images taken up; None to begin."""


class Memory:
    """An area in memory."""

    def open(self, number: int, height: int, width: int, channels: int) -> None:
        """Begin."""
        self._images = np.empty((number, height, width, channels), dtype=np.uint8)
        self._number = 0

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images."""
        self._images[self._number : self._number + len(images)] = images
        self._number += len(images)

    def taken(self) -> NDArray[np.uint8]:
        """All images so far."""
        return self._images[: self._number]

    def spare(self, size: int, where: str) -> Path | None:
        """None, where there is memory enough."""
        check_room(size, where)
        return None

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Nothing is kept."""

    def kept(self) -> Mapping[str, Any] | None:
        """None."""
        return None


def blocks(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The images, a few at a time."""
    for start in range(0, len(images), BLOCK):
        yield images[start : start + BLOCK]
