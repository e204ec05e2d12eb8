"""From an array of images as it is stored to uint8 images of the wanted range, channels and shape, a few at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.text import count
from fromnoise.data.area import Area, blocks
from fromnoise.data.channels import NAMES, all_grey, grey_note, shows_grey, with_channels
from fromnoise.data.resize import Resize, choose_resize, resized, without_hidden_colours
from fromnoise.data.value_range import ValueRange, array_levels
from fromnoise.settings import DataOptions


@dataclass(frozen=True)
class Conversion:
    """What is done to images (N, H, W, C) of an array.

    levels: the values of black and white, None where they are 0 and 255. channels: wanted ones, None for those that
    there are. resize: None for the size that they have. read_as: the name of the range. in_range, of_size: what to say.
    """

    levels: ValueRange | None
    channels: int | None
    resize: Resize | None
    read_as: str
    in_range: tuple[str, ...]
    of_size: tuple[str, ...]

    @staticmethod
    def of(images: NDArray[Any], options: DataOptions) -> Conversion:
        """That of all of `images`, by the data options."""
        number, height, width, _ = images.shape
        levels, read_as, in_range = array_levels(images, options.range)
        resize, of_size = choose_resize(Counter({(height, width): number}), options)
        same = (resize.height, resize.width) == (height, width)
        return Conversion(levels, options.channels, None if same else resize, read_as, in_range, of_size)

    def applied(self, images: NDArray[Any], area: Area) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
        """The converted images, in `area` unless they are to stay as they are, and what to say of them."""
        number, height, width, channels = images.shape
        goal = self.channels or channels
        if self._nothing(images):
            said = grey_note(images) if self.channels is None else ()
            return images, self.in_range + said + self.of_size
        shape = (self.resize.height, self.resize.width) if self.resize else (height, width)
        area.open(number, shape[0], shape[1], goal)
        grey = self.channels is None and channels >= 3
        for block in blocks(images):
            plain = without_hidden_colours(
                self.levels.grey_levels(block) if self.levels else np.ascontiguousarray(block)
            )
            grey = grey and all(shows_grey(image) for image in plain)
            if goal != channels:
                rows = plain.reshape(-1, width, channels)
                plain = with_channels(rows, goal).reshape(*plain.shape[:3], goal)
            area.append(resized(plain, self.resize) if self.resize else plain)
        said = all_grey(channels) if grey else ()
        if goal != channels:
            said = (f"converted: {count(number, 'image')} of {NAMES[channels]} to {NAMES[goal]}",)
        return area.taken(), self.in_range + said + self.of_size

    def _nothing(self, images: NDArray[Any]) -> bool:
        """Whether the images are as they should be."""
        if self.levels or self.resize or self.channels not in (None, images.shape[-1]):
            return False
        return images.shape[-1] != 4 or all(without_hidden_colours(block) is block for block in blocks(images))
