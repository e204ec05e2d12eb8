"""Many images in one: a grid with even gutters, and the way any figure is saved.

64 images make 8 x 8; up to 8 make one row; other numbers take a full rectangle where there is one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.figures import text
from fromnoise.figures.encode import FigureLike, png_bytes
from fromnoise.figures.scaling import TARGET_SIDE, Images, check_images, chosen_scale, gutter, mode_of, scaled, tiles

_LARGEST_TILE = 256
_LINE = text.line_height(text.SMALL_SIZE)


def grid(
    images: Images,
    columns: int | None = None,
    *,
    scale: int | None = None,
    side: int = TARGET_SIDE,
    gap: int | None = None,
    captions: Sequence[str] | None = None,
    invert: bool = False,
) -> Image.Image:
    """`images`, uint8 (N, H, W, C), row by row on white.

    Arguments:
        columns: found from N when not given.
        scale: a whole number of final pixels for each of the image's; found so that the longer side comes near `side`
            pixels (600 to 900 for most sizes of image).
        gap: white pixels between and around tiles.
        captions: one short line below each image, shortened to its width.
        invert: grey on white, for grey images.

    Returns:
        An "L" image for grey images, "RGB" otherwise.

    Raises:
        UsageError: for what cannot be drawn.
    """
    check_images(images)
    count, height, width, _ = images.shape
    columns = _columns(count) if columns is None else _within(columns, count)
    if captions is not None and len(captions) != count:
        raise UsageError(f"{len(captions)} captions for {count} images; give one for each")
    across, down, line = columns, math.ceil(count / columns), _LINE if captions else 0

    def longer(s: float) -> float:
        return float(max(across * (width * s + 6), down * (height * s + 6 + line)))

    s = chosen_scale(scale, longer, max(height, width), largest_tile=_LARGEST_TILE, target=side)
    w, h = scaled(width, s), scaled(height, s)
    gap = gutter(max(w, h)) if gap is None else max(0, gap)
    mode = mode_of(images)
    canvas = Image.new(mode, (across * (w + gap) + gap, down * (h + line + gap) + gap), "white")
    for i, tile in enumerate(tiles(images, s, mode=mode, invert=invert)):
        x, y = gap + i % columns * (w + gap), gap + i // columns * (h + line + gap)
        canvas.paste(tile, (x, y))
        if captions:
            words = text.shorten(captions[i], text.SMALL_SIZE, w)
            text.write(canvas, (x + w / 2, y + h + 2), words, text.SMALL_SIZE, grey=text.QUIET, anchor="ma")
    return canvas


def save(figure: FigureLike, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, whole or not at all; missing folders are created. Returns the path.

    Raises:
        UsageError: for a name that does not end in .png.
        WriteError: when the place cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"'{path}' does not end in .png, the format of figures; name the file so")
    return write_bytes(path, png_bytes(figure))


def _columns(count: int) -> int:
    """All in one row up to 8; then the smallest number that fills every row and is wide rather than tall."""
    if count <= 8:
        return count
    least = math.isqrt(count - 1) + 1
    full = (c for c in range(least, 2 * least) if count % c == 0)
    return next(full, least)


def _within(columns: int, count: int) -> int:
    if columns < 1:
        raise UsageError(f"columns is {columns}, but a grid has at least 1; give a positive number")
    return min(columns, count)
