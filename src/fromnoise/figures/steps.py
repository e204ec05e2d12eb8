"""Sampling in a few steps, as a table: what the network was given on the left, what it answered on the right.

One row a step, each cell a strip of the same pictures, so that a picture can be followed down the page.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.figures import text
from fromnoise.figures.scaling import Images, checked, chosen_scale, gutter, mode_of, scaled, tiles

_LARGEST_TILE = 96
_TARGET_SIDE = 920  # two strips beside each other may be a little wider than other figures
_MARGIN = 14
_BETWEEN_COLUMNS = 26
_HEADING = text.line_height(text.TITLE_SIZE) + 7


def two_columns(
    left: Sequence[Images],
    right: Sequence[Images],
    titles: tuple[str, str] = ("x (model input)", "model prediction"),
    *,
    scale: int | None = None,
    invert: bool = False,
) -> Image.Image:
    """One row a step: strips `left[i]` and `right[i]`, each uint8 (N, H, W, C) of one shape, below two titles.

    The rows are numbered from 1. scale, invert: as for `grid`.
    Raises UsageError when the two lists differ in length or the strips in shape.
    """
    count, height, width = _shared_shape(left, right)

    def side(s: float) -> float:
        return 2 * count * (width * s + 4)

    s = chosen_scale(scale, side, max(height, width), largest_tile=_LARGEST_TILE, target=_TARGET_SIDE)
    w, h = scaled(width, s), scaled(height, s)
    gap = gutter(max(w, h)) - 1
    numbers = text.width(str(len(left)), text.SMALL_SIZE) + 10
    strip = max(count * (w + gap) - gap, *(text.width(text.clean(t), text.TITLE_SIZE) for t in titles))
    starts = (_MARGIN + numbers, _MARGIN + numbers + strip + _BETWEEN_COLUMNS)
    mode = mode_of(*left, *right)
    size = (starts[1] + strip + _MARGIN, _MARGIN + _HEADING + len(left) * (h + gap) - gap + _MARGIN)
    canvas = Image.new(mode, size, "white")
    for x0, title, column in zip(starts, titles, (left, right), strict=True):
        text.write(canvas, (x0, _MARGIN), text.clean(title), text.TITLE_SIZE, grey=text.INK, anchor="la")
        for row, images in enumerate(column):
            for i, tile in enumerate(tiles(images, s, mode=mode, invert=invert)):
                canvas.paste(tile, (x0 + i * (w + gap), _MARGIN + _HEADING + row * (h + gap)))
    for row in range(len(left)):
        at = (starts[0] - 10, _MARGIN + _HEADING + row * (h + gap) + h / 2)
        text.write(canvas, at, str(row + 1), text.SMALL_SIZE, grey=text.QUIET, anchor="rm")
    return canvas


def _shared_shape(left: Sequence[Images], right: Sequence[Images]) -> tuple[int, int, int]:
    """(N, H, W) of every strip, or UsageError."""
    if len(left) != len(right) or not left:
        raise UsageError(
            f"{len(left)} inputs and {len(right)} predictions, but every step needs both; give lists of one length"
        )
    first = checked(left[0], "step 1").shape[:3]
    for number, pair in enumerate(zip(left, right, strict=True), start=1):
        for images in pair:
            if checked(images, f"step {number}").shape[:3] != first:
                raise UsageError(
                    f"step {number} has (N, H, W) = {images.shape[:3]}, but step 1 has {first}; give one shape"
                )
    return first
