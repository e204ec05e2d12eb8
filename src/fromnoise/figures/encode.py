"""A figure as PNG bytes or as a `data:` address that a page can hold; Pillow and matplotlib alike."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypeAlias, Union

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fromnoise.common.errors import UsageError
from fromnoise.common.marks import KEY, Mark, mark_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureLike: TypeAlias = Union[Image.Image, "Figure", bytes]
"""A Pillow image, a matplotlib figure, or the bytes of a PNG or GIF file."""

POINTS_PER_INCH = 100
"""How many of a page's pixels an inch of a matplotlib figure takes."""
SHARPNESS = 2
"""Matplotlib figures hold this many real pixels for each of a page's, so that text is sharp on fine screens."""

_KINDS = {b"\x89PNG": "image/png", b"GIF8": "image/gif"}


def png_bytes(figure: FigureLike, mark: Mark = "figure") -> bytes:
    """`figure` as the bytes of a PNG file that holds `mark`, the same for the same figure (no dates inside).

    Bytes of a PNG are returned as they are. Raises UsageError for anything else.
    """
    if isinstance(figure, bytes):
        if media_type(figure) != "image/png":
            raise UsageError("these bytes are a GIF, but a PNG is expected; give an image, a figure or PNG bytes")
        return figure
    memory, info = io.BytesIO(), PngInfo()
    info.add_text(KEY, mark_text(mark))
    if isinstance(figure, Image.Image):
        figure.save(memory, format="PNG", optimize=True, pnginfo=info)
    elif _is_figure(figure):
        dpi = POINTS_PER_INCH * SHARPNESS
        figure.savefig(memory, format="png", dpi=dpi, facecolor="white")
        smaller, memory = Image.open(memory).convert("RGB"), io.BytesIO()  # and no version inside
        # The density in the file says that this is a drawing, also to a page that is made from the file later.
        smaller.save(memory, format="PNG", optimize=True, dpi=(dpi, dpi), pnginfo=info)
    else:
        raise UsageError(_not_a_figure(figure))
    return memory.getvalue()


def media_type(content: bytes) -> str:
    """ "image/png" or "image/gif" by the first bytes; else UsageError."""
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    raise UsageError(f"these bytes begin with {content[:8]!r}, but PNG or GIF is expected; encode the figure first")


def data_uri(figure: FigureLike) -> str:
    """`figure` as `data:image/png;base64,...` (or gif), which a page shows without another file."""
    content = figure if isinstance(figure, bytes) else png_bytes(figure)
    return f"data:{media_type(content)};base64,{base64.b64encode(content).decode('ascii')}"


def as_image(figure: FigureLike) -> Image.Image:
    """`figure` as a Pillow image, which notebooks show by themselves."""
    if isinstance(figure, Image.Image):
        return figure
    content = figure if isinstance(figure, bytes) else png_bytes(figure)
    media_type(content)
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def page_size(figure: FigureLike) -> tuple[int, int]:
    """(width, height) in a page's pixels: a figure's own size; for a drawing, its inches times POINTS_PER_INCH."""
    if isinstance(figure, Image.Image | bytes):
        width, height = as_image(figure).size
        return (width // SHARPNESS, height // SHARPNESS) if is_drawn(figure) else (width, height)
    if not _is_figure(figure):
        raise UsageError(_not_a_figure(figure))
    inches = figure.get_size_inches()
    return round(inches[0] * POINTS_PER_INCH), round(inches[1] * POINTS_PER_INCH)


def is_drawn(figure: FigureLike) -> bool:
    """Whether `figure` is a drawing with smooth lines (a figure, or its PNG) rather than one of enlarged pixels."""
    return "dpi" in as_image(figure).info if isinstance(figure, bytes) else _is_figure(figure)


def _is_figure(figure: object) -> bool:
    # By what it can do: importing matplotlib only for this would cost every page half a second.
    return hasattr(figure, "savefig") and hasattr(figure, "get_size_inches")


def _not_a_figure(figure: object) -> str:
    kind = type(figure).__name__
    return f"a {kind} was given, but expected a Pillow image, a matplotlib figure or PNG bytes; draw it first"
