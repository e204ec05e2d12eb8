"""Decoded images to one array, image by image: their channels are known only when the last one has been seen.

They are put down with as many channels as those so far need (1, then 3, then 4), and moved where one needs more, or
where in the end fewer are right. Nothing is lost on the way: what is grey or opaque is exactly so with more channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.data.area import BLOCK, Area, blocks
from fromnoise.data.channels import NAMES, counted, grey_note, shows_grey, with_channels
from fromnoise.data.notes import Note
from fromnoise.data.value_range import Stored, together

if TYPE_CHECKING:
    from fromnoise.data.decode import DecodedImage
    from fromnoise.data.resize import Resize


class Stack:
    """Takes decoded images in order into `area`.

    Arguments:
        number: images at most.
        wanted: `data.channels`.
    """

    def __init__(self, area: Area, number: int, resize: Resize, wanted: int | None) -> None:
        self._area, self._wanted = area, wanted
        self._shape = (number, resize.height, resize.width)
        self._channels, self._number = wanted or 1, 0
        self._clear = self._coloured = self._tinted = 0
        self._remarks, self.modes = Counter[str](), Counter[str]()
        self._plain: Stored | None = None  # the values of images with 8 bits
        self._deep: Stored | None = None
        self._block: list[NDArray[np.uint8]] = []

    def __len__(self) -> int:
        return self._number

    @property
    def stored(self) -> Stored | None:
        """The stored values of all images; where some have more than 8 bits, of those."""
        return self._deep or self._plain

    def open(self) -> None:
        """Begin."""
        self._area.open(*self._shape, self._channels)

    def add(self, image: DecodedImage) -> None:
        """Put down one more."""
        coloured, clear = image.pixels.shape[-1] >= 3, image.transparent
        needed = self._wanted or (4 if clear else 3 if coloured else 1)
        if needed > self._channels:
            self._move(needed)
        self._block.append(with_channels(image.pixels, self._channels))
        if len(self._block) == BLOCK:
            self._flush()
        self._number += 1
        self._clear += clear
        self._coloured += coloured
        self._tinted += self._wanted == 1 and coloured and not shows_grey(image.pixels)
        self._remarks.update(image.remarks)
        self.modes[image.mode] += 1
        if image.stored.top > 255:
            self._deep = together(filter(None, (self._deep, image.stored)))
        else:
            self._plain = together(filter(None, (self._plain, image.stored)))

    def finish(self) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """uint8 (N, H, W, C), and what was converted."""
        number, clear, coloured = self._number, self._clear, self._coloured
        channels = self._wanted or (4 if 2 * clear > number else 3 if coloured else 1)
        if channels != self._channels:
            self._move(channels)
        self._flush()
        remarks = self._remarks.copy()
        if channels >= 3 and coloured < number:
            remarks[f"grey image to {NAMES[channels]}"] = number - coloured
        if self._tinted:
            remarks["colour image to grey"] = self._tinted
        if channels == 4 and clear < number:
            remarks["opaque image given full alpha"] = number - clear
        elif clear and channels < 4:
            remarks["transparent image laid over white"] = clear
        parts = sorted(remarks.items())
        text = f"converted: {'; '.join(counted(times, remark) for remark, times in parts)}"
        converted = (Note(text, "converted", parts=parts),) if parts else ()
        images = self._area.taken()
        return images, converted + (grey_note(images) if self._wanted is None else ())

    def state(self) -> dict[str, Any]:
        """All but the pixels, as plain JSON; those are then in the area."""
        self._flush()
        return {
            "channels": self._channels,
            "number": self._number,
            "counts": [self._clear, self._coloured, self._tinted],
            "remarks": dict(self._remarks),
            "modes": dict(self.modes),
            "values": [None if one is None else asdict(one) for one in (self._plain, self._deep)],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state`, whose pixels the area has again."""
        self._channels, self._number = int(state["channels"]), int(state["number"])
        self._clear, self._coloured, self._tinted = map(int, state["counts"])
        self._remarks, self.modes = Counter(state["remarks"]), Counter(state["modes"])
        self._plain, self._deep = (None if one is None else Stored(**one) for one in state["values"])

    def _flush(self) -> None:
        if self._block:
            self._area.append(np.stack(self._block))
            self._block = []

    def _move(self, channels: int) -> None:
        """Give the images so far so many channels."""
        self._flush()
        before, self._channels = self._area.taken(), channels
        self.open()
        for block in blocks(before):
            self._area.append(
                with_channels(block.reshape(-1, *block.shape[2:]), channels).reshape(*block.shape[:3], channels)
            )
