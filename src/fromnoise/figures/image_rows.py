"""Titled rows of images with shared columns (corruption, trajectories, neighbours), and steps in two columns.

A row with an empty title belongs to the one above it and follows closely, so pairs and groups read as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.figures import text
from fromnoise.figures.scaling import Images, check_images, chosen_scale, gutter, mode_of, scaled, tiles

_LARGEST_TILE = 128
_MARGIN = 14
_BETWEEN_GROUPS = 16
_BELOW_TITLE = 7
_WIDEST_TITLE = 190
_LARGEST_STRIP_TILE = 96
_STRIP_TITLES = ("x (model input)", "model prediction")
_STRIPS_SIDE = 920  # two strips beside each other may be a little wider than other figures
_BETWEEN_COLUMNS = 26
_HEADING = text.line_height(text.TITLE_SIZE) + 7

TitledRows = Sequence[tuple[str, Images]]


def rows(
    titled: TitledRows,
    column_titles: Sequence[str] | None = None,
    *,
    scale: int | None = None,
    invert: bool = False,
    beside: bool = False,
) -> Image.Image:
    """Rows of (title, images), images uint8 (N, H, W, C) with the same N, H and W in every row, on white.

    Arguments:
        titled: (title, images) of each row; an empty title joins the row to the one above it.
        column_titles: N short headings above the images.
        scale, invert: as for `grid`; the width is brought to about 600 to 900 pixels.
        beside: titles to the left of their rows (good for many rows) instead of above.

    Raises:
        UsageError: when rows differ in number or size of images.
    """
    plan = _planned(titled, column_titles, scale, beside)
    spots, height = _spots(plan)
    mode = mode_of(*(images for _, images in titled))
    canvas = Image.new(mode, (plan.width, height), "white")
    for (_, images), lines, spot in zip(titled, plan.titles, spots, strict=True):
        for i, tile in enumerate(tiles(images, plan.scale, mode=mode, invert=invert)):
            canvas.paste(tile, (plan.x(i), spot.tiles))
        for k, line in enumerate(lines):
            y = spot.title + k * text.line_height(text.TITLE_SIZE)
            text.write(canvas, (_MARGIN, y), line, text.TITLE_SIZE, grey=text.INK, anchor="la")
    for i, heading in enumerate(column_titles or ()):
        short, y = text.shorten(heading, text.SMALL_SIZE, plan.w + plan.gap), spots[0].tiles - 5
        text.write(canvas, (plan.x(i) + plan.w / 2, y), short, text.SMALL_SIZE, grey=text.QUIET, anchor="md")
    return canvas


@dataclass(frozen=True)
class _Plan:
    """The sizes that place everything: all in final pixels but `scale`. titles: the lines of each row's."""

    columns: int
    scale: float
    w: int
    h: int
    gap: int
    left: int
    titles: list[list[str]]
    beside: bool
    headed: bool

    def x(self, column: int) -> int:
        return self.left + column * (self.w + self.gap)

    @property
    def width(self) -> int:
        words = max(text.width(line, text.TITLE_SIZE) for lines in self.titles for line in [*lines, ""])
        tiles_end = self.x(self.columns) - self.gap
        return _MARGIN + (tiles_end if self.beside else max(tiles_end, _MARGIN + words))


@dataclass(frozen=True)
class _Spot:
    """Where a row's title and its images begin, from the top."""

    title: int
    tiles: int


def _planned(titled: TitledRows, column_titles: Sequence[str] | None, scale: int | None, beside: bool) -> _Plan:
    count, height, width = _shared_shape(titled)
    if column_titles is not None and len(column_titles) != count:
        raise UsageError(f"{len(column_titles)} column titles for {count} columns; give one for each")

    def side(s: float) -> float:
        return count * (width * s + 6)

    s = chosen_scale(scale, side, max(height, width), largest_tile=_LARGEST_TILE)
    w, h = scaled(width, s), scaled(height, s)
    gap = gutter(max(w, h))
    space = _WIDEST_TITLE if beside else max(count * (w + gap), 400)
    titles = [text.wrap(title, text.TITLE_SIZE, space) if title else [] for title, _ in titled]
    words = max(text.width(line, text.TITLE_SIZE) for lines in titles for line in [*lines, ""])
    left = _MARGIN + (words + _MARGIN if beside and words else 0)
    return _Plan(count, s, w, h, gap, left, titles, beside, headed=column_titles is not None)


def _spots(plan: _Plan) -> tuple[list[_Spot], int]:
    """Where each row goes, and the height of the whole."""
    spots: list[_Spot] = []
    y = _MARGIN
    for i, lines in enumerate(plan.titles):
        words = len(lines) * text.line_height(text.TITLE_SIZE)
        if i:
            y += _BETWEEN_GROUPS if lines and not plan.beside else plan.gap
        headings = text.line_height(text.SMALL_SIZE) if plan.headed and i == 0 else 0
        if plan.beside:
            y += headings
            spots.append(_Spot(y + (plan.h - words) // 2, y))
        else:
            above = words + (_BELOW_TITLE if lines else 0) + headings
            spots.append(_Spot(y, y + above))
            y += above
        y += plan.h
    return spots, y + _MARGIN


def _shared_shape(titled: TitledRows) -> tuple[int, int, int]:
    """(N, H, W) of every row, or UsageError naming the row that differs."""
    if not titled:
        raise UsageError("no rows were given, but a figure of rows needs at least one; give (title, images) pairs")
    first = check_images(titled[0][1], f"row '{titled[0][0]}'").shape[:3]
    for title, images in titled[1:]:
        if check_images(images, f"row '{title}'").shape[:3] != first:
            raise UsageError(
                f"row '{title}' is (N, H, W) = {images.shape[:3]}, but the first row is {first}; give rows of one shape"
            )
    return first


def two_columns(
    left: Sequence[Images],
    right: Sequence[Images],
    *,
    scale: int | None = None,
    invert: bool = False,
) -> Image.Image:
    """One row per step, numbered from 1: strips `left[i]` and `right[i]` below two titles.

    Arguments:
        left, right: one strip per step, each uint8 (N, H, W, C) of one shape.
        scale, invert: as for `grid`.

    Raises:
        UsageError: when the two lists differ in length or the strips in shape.
    """
    count, height, width = _step_shape(left, right)

    def side(s: float) -> float:
        return 2 * count * (width * s + 4)

    s = chosen_scale(scale, side, max(height, width), largest_tile=_LARGEST_STRIP_TILE, target=_STRIPS_SIDE)
    w, h = scaled(width, s), scaled(height, s)
    gap = gutter(max(w, h)) - 1
    numbers = text.width(str(len(left)), text.SMALL_SIZE) + 10
    strip = max(count * (w + gap) - gap, *(text.width(title, text.TITLE_SIZE) for title in _STRIP_TITLES))
    starts = (_MARGIN + numbers, _MARGIN + numbers + strip + _BETWEEN_COLUMNS)
    mode = mode_of(*left, *right)
    size = (starts[1] + strip + _MARGIN, _MARGIN + _HEADING + len(left) * (h + gap) - gap + _MARGIN)
    canvas = Image.new(mode, size, "white")
    for x0, title, column in zip(starts, _STRIP_TITLES, (left, right), strict=True):
        text.write(canvas, (x0, _MARGIN), title, text.TITLE_SIZE, grey=text.INK, anchor="la")
        for row, images in enumerate(column):
            for i, tile in enumerate(tiles(images, s, mode=mode, invert=invert)):
                canvas.paste(tile, (x0 + i * (w + gap), _MARGIN + _HEADING + row * (h + gap)))
    for row in range(len(left)):
        at = (starts[0] - 10, _MARGIN + _HEADING + row * (h + gap) + h / 2)
        text.write(canvas, at, str(row + 1), text.SMALL_SIZE, grey=text.QUIET, anchor="rm")
    return canvas


def _step_shape(left: Sequence[Images], right: Sequence[Images]) -> tuple[int, int, int]:
    """(N, H, W) of every strip, or UsageError."""
    if len(left) != len(right) or not left:
        raise UsageError(
            f"{len(left)} inputs and {len(right)} predictions, but every step needs both; give lists of one length"
        )
    first = check_images(left[0], "step 1").shape[:3]
    for number, pair in enumerate(zip(left, right, strict=True), start=1):
        for images in pair:
            if check_images(images, f"step {number}").shape[:3] != first:
                raise UsageError(
                    f"step {number} has (N, H, W) = {images.shape[:3]}, but step 1 has {first}; give one shape"
                )
    return first
