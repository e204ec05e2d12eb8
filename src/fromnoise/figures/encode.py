"""A figure as PNG bytes or as a `data:` address that a page can hold; Pillow and matplotlib alike."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypeAlias, Union

from PIL import Image

from fromnoise.common.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture: TypeAlias = Union[Image.Image, "Figure", bytes]
"""A Pillow image, a matplotlib figure, or the bytes of a PNG or GIF file."""

POINTS_PER_INCH = 100
"""How many of a page's pixels an inch of a matplotlib figure takes."""
SHARPNESS = 2
"""Matplotlib figures hold this many real pixels for each of a page's, so that text is sharp on fine screens."""

_KINDS = {b"\x89PNG": "image/png", b"GIF8": "image/gif"}


def png_bytes(picture: Picture) -> bytes:
    """`picture` as the bytes of a PNG file, the same for the same picture (no dates inside).

    Bytes of a PNG are returned as they are. Raises UsageError for anything else.
    """
    if isinstance(picture, bytes):
        if kind_of(picture) != "image/png":
            raise UsageError("these bytes are a GIF, but a PNG is expected; give an image, a figure or PNG bytes")
        return picture
    memory = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(memory, format="PNG", optimize=True)
    elif _is_figure(picture):
        dpi = POINTS_PER_INCH * SHARPNESS
        picture.savefig(memory, format="png", dpi=dpi, facecolor="white")
        smaller, memory = Image.open(memory).convert("RGB"), io.BytesIO()  # and no version inside
        # The density in the file says that this is a drawing, also to a page that is made from the file later.
        smaller.save(memory, format="PNG", optimize=True, dpi=(dpi, dpi))
    else:
        raise UsageError(_not_a_picture(picture))
    return memory.getvalue()


def kind_of(content: bytes) -> str:
    """ "image/png" or "image/gif" by the first bytes; else UsageError."""
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    raise UsageError(f"these bytes begin with {content[:8]!r}, but PNG or GIF is expected; encode the picture first")


def data_uri(picture: Picture) -> str:
    """`picture` as `data:image/png;base64,...` (or gif), which a page shows without asking for another file."""
    content = picture if isinstance(picture, bytes) else png_bytes(picture)
    return f"data:{kind_of(content)};base64,{base64.b64encode(content).decode('ascii')}"


def as_image(picture: Picture) -> Image.Image:
    """`picture` as a Pillow image, which notebooks show by themselves."""
    if isinstance(picture, Image.Image):
        return picture
    content = picture if isinstance(picture, bytes) else png_bytes(picture)
    kind_of(content)
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def page_size(picture: Picture) -> tuple[int, int]:
    """(width, height) in a page's pixels: a picture's own size; for a drawing, its inches times POINTS_PER_INCH."""
    if isinstance(picture, Image.Image | bytes):
        width, height = as_image(picture).size
        return (width // SHARPNESS, height // SHARPNESS) if is_drawn(picture) else (width, height)
    if not _is_figure(picture):
        raise UsageError(_not_a_picture(picture))
    inches = picture.get_size_inches()
    return round(inches[0] * POINTS_PER_INCH), round(inches[1] * POINTS_PER_INCH)


def is_drawn(picture: Picture) -> bool:
    """Whether `picture` is a drawing with smooth lines (a figure, or its PNG) rather than one of enlarged pixels."""
    return "dpi" in as_image(picture).info if isinstance(picture, bytes) else _is_figure(picture)


def _is_figure(picture: object) -> bool:
    # By what it can do: importing matplotlib only to ask would cost every page of pictures half a second.
    return hasattr(picture, "savefig") and hasattr(picture, "get_size_inches")


def _not_a_picture(picture: object) -> str:
    return (
        f"a {type(picture).__name__} was given, but a picture is a Pillow image, a figure or PNG bytes; draw it first"
    )
