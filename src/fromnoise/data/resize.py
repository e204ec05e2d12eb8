"""One shape for all images: which one is chosen, and how an image is brought to it.

    scale = min(W / w, H / h)          the largest centred region of the wanted aspect ratio is w*scale by h*scale
    image[region] -> (h, w)            by Lanczos, after whole-number reduction where it is much larger

Without `--resolution`, images that share one size of at most 256 on both sides keep it; anything else has its short
side resized and its centre cropped to a square of 64, or of the median short side where that is less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import UsageError
from fromnoise.common.text import count, hw
from fromnoise.data.notes import Note
from fromnoise.settings import DataOptions

if TYPE_CHECKING:
    from PIL import Image

KEPT_UP_TO = 256
OTHERWISE = 64
SMALLEST, LARGEST = 4, 1024


@dataclass(frozen=True)
class Resize:
    """A wanted shape (pixels), reached by a centre crop or, without one, by squeezing."""

    height: int
    width: int
    crop: bool = True

    def region(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the part of a height x width image that is kept."""
        if not self.crop:
            return (0.0, 0.0, float(width), float(height))
        scale = min(width / self.width, height / self.height)
        left = max(0.0, (width - self.width * scale) / 2)  # rounding may bring it just below
        top = max(0.0, (height - self.height * scale) / 2)
        return (left, top, width - left, height - top)

    def enlargement(self, height: int, width: int) -> float:
        """How many times a height x width image grows, in the direction that grows most."""
        left, top, right, bottom = self.region(height, width)
        return max(self.width / (right - left), self.height / (bottom - top))

    def apply(self, image: Image.Image) -> Image.Image:
        """`image` at this shape; itself when it has it already. Alpha is weighed in, so no hidden colour bleeds."""
        from PIL import Image as pillow

        if image.size == (self.width, self.height):
            return image
        region = self.region(image.height, image.width)
        size = (self.width, self.height)
        return image.resize(size, pillow.Resampling.LANCZOS, box=region, reducing_gap=2.0)


def parse_resolution(text: str) -> tuple[int, int]:
    """(height, width) of "32" or "48x64"; UsageError for anything else or outside 4..1024."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(
            f"resolution is '{text}', but expected a size such as 32 or HEIGHTxWIDTH such as 48x64; give one of those"
        )
    height, width = int(parts[0]), int(parts[-1])
    if min(height, width) < SMALLEST or max(height, width) > LARGEST:
        raise UsageError(
            f"resolution is '{text}', but each side may be {SMALLEST} to {LARGEST} pixels; give a size in between"
        )
    return height, width


def choose_resize(sizes: Mapping[tuple[int, int], int], options: DataOptions) -> tuple[Resize, tuple[str, ...]]:
    """The shape for images of these (height, width) sizes, and what to say about it."""
    if options.resolution is not None:
        resize = Resize(*parse_resolution(options.resolution), crop=options.center_crop)
    elif len(sizes) == 1 and max(max(sizes)) <= KEPT_UP_TO:
        resize = Resize(*next(iter(sizes)), crop=options.center_crop)
    else:
        side = _usual_side(sizes)
        resize = Resize(side, side, crop=options.center_crop)
    return resize, _sentences(sizes, resize, options)


def _usual_side(sizes: Mapping[tuple[int, int], int]) -> int:
    """The median short side, to a multiple of 4 (networks halve their images twice), from 8 to 64."""
    side = median_low(min(size) for size, number in sizes.items() for _ in range(number))
    return min(max(8, (side + 2) // 4 * 4), OTHERWISE)


def _sentences(sizes: Mapping[tuple[int, int], int], resize: Resize, options: DataOptions) -> tuple[str, ...]:
    if set(sizes) == {(resize.height, resize.width)}:
        return ()
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    smallest, largest = hw(*ordered[0]), hw(*ordered[-1])
    seen = f"all images are {smallest}" if len(sizes) == 1 else f"sizes differ ({smallest} to {largest})"
    goal = hw(resize.height, resize.width)
    if not resize.crop:
        how, done = "squeezed", f"squeezed into {goal}"
    elif options.resolution is None:
        how, done = "short side", f"short side resized to {resize.height}, centre cropped to {goal}"
    else:
        how, done = "cropped", f"resized and centre cropped to {goal}"
    advice = "; --resolution changes it" if options.resolution is None else ""
    text = f"{seen}: {done}{advice}"
    notes = [Note(text, "resized", how=how, smallest=smallest, largest=largest, goal=goal, chosen=advice == "")]
    grown = sum(number for size, number in sizes.items() if resize.enlargement(*size) > 2)
    if grown:
        verb = "was" if grown == 1 else "were"
        text = f"{count(grown, 'image')} {verb} enlarged more than 2 times (the smallest is {smallest})"
        notes.append(Note(text, "enlarged", count=grown, smallest=smallest))
    return tuple(notes)


def without_hidden_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (..., C) with black where alpha, the last of 2 or 4 channels, is 0, as resizing leaves it."""
    if pixels.shape[-1] not in (2, 4) or not (hidden := pixels[..., -1] == 0).any():
        return pixels
    pixels = pixels.copy()
    pixels[hidden] = 0
    return pixels


def resized(images: NDArray[np.uint8], resize: Resize) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C) at the shape of `resize`."""
    from PIL import Image as pillow

    number, _, _, channels = images.shape
    found = np.empty((number, resize.height, resize.width, channels), dtype=np.uint8)
    for place, pixels in enumerate(images):
        image = pillow.fromarray(pixels[..., 0] if channels == 1 else pixels)
        found[place] = np.asarray(resize.apply(image)).reshape(resize.height, resize.width, channels)
    return found
