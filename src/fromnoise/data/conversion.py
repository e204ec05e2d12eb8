"""From an array of images as it is stored to uint8 images of the wanted range, channels and shape, a few at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.text import count
from fromnoise.data.area import Area, blocks
from fromnoise.data.channels import NAMES, all_grey, grey_note, shows_grey, with_channels
from fromnoise.data.resize import choose_resize, resized, without_hidden_colours
from fromnoise.data.value_range import ValueRange, array_levels, colours
from fromnoise.settings import DataOptions


def converted(images: NDArray[Any], options: DataOptions, area: Area) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    """(the images, the name of the range they were read as, what to say of them).

    Arguments:
        images: (N, H, W, C) of an array; they are given back themselves where nothing is to be done to them.
        area: where they go else.
    """
    number, height, width, channels = images.shape
    levels, read_as, in_range = array_levels(images, options.range)
    resize, of_size = choose_resize(Counter({(height, width): number}), options)
    same_size, goal = (resize.height, resize.width) == (height, width), options.channels or channels
    if levels is None and same_size and goal == channels and not _hides_colours(images):
        said = grey_note(images) if options.channels is None else ()
        return images, read_as, in_range + said + of_size
    area.open(number, resize.height, resize.width, goal)
    grey = options.channels is None and channels >= 3
    for block in blocks(images):
        plain = without_hidden_colours(_levelled(levels, block) if levels else np.ascontiguousarray(block))
        grey = grey and all(shows_grey(image) for image in plain)
        if goal != channels:
            rows = plain.reshape(-1, width, channels)
            plain = with_channels(rows, goal).reshape(*plain.shape[:3], goal)
        area.append(plain if same_size else resized(plain, resize))
    said = all_grey(channels) if grey else ()
    if goal != channels:
        said = (f"converted: {count(number, 'image')} of {NAMES[channels]} to {NAMES[goal]}",)
    return area.taken(), read_as, in_range + said + of_size


def _levelled(levels: ValueRange, block: NDArray[Any]) -> NDArray[np.uint8]:
    """The grey levels of images, whose alpha is read by all that its type can hold."""
    found = levels.grey_levels(block)
    for channel in range(colours(block), block.shape[-1]):
        found[..., channel] = ValueRange(0, np.iinfo(block.dtype).max).grey_levels(block[..., channel])
    return found


def _hides_colours(images: NDArray[Any]) -> bool:
    """Whether there are colours where the images are fully transparent."""
    return images.shape[-1] == 4 and any(without_hidden_colours(block) is not block for block in blocks(images))
