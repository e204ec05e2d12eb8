"""Words on images: DejaVu Sans from matplotlib's own files, measured, shortened and drawn in quiet greys."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

TITLE_SIZE = 15
SMALL_SIZE = 13
INK = 0x26
QUIET = 0x60


@lru_cache(maxsize=8)
def font(size: int) -> Font:
    """DejaVu Sans at `size` pixels, or Pillow's built-in font where matplotlib's files are not at hand."""
    # The package is located, not imported: importing matplotlib takes longer than drawing the figure.
    package = importlib.util.find_spec("matplotlib")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


def clean(words: str) -> str:
    """One printable line: line breaks become spaces, and what has no Unicode form (odd file names) becomes "?"."""
    return " ".join(words.encode("utf-8", "replace").decode("utf-8").split())


def width(words: str, size: int) -> int:
    """How many pixels `words` take in a line at `size`."""
    return round(font(size).getlength(words))


def line_height(size: int) -> int:
    """Pixels from one line to the next."""
    return round(size * 1.35)


def shorten(words: str, size: int, limit: int) -> str:
    """`words` on one clean line, ended by an ellipsis when they would pass `limit` pixels."""
    words = clean(words)
    if width(words, size) <= limit:
        return words
    while words and width(words + "…", size) > limit:
        words = words[:-1]
    return words.rstrip() + "…"


def wrap(words: str, size: int, limit: int) -> list[str]:
    """`words` broken at spaces into lines of at most `limit` pixels; a longer single word is shortened."""
    lines: list[str] = []
    for word in clean(words).split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and width(joined, size) <= limit:
            lines[-1] = joined
        else:
            lines.append(shorten(word, size, limit))
    return lines


def write(image: Image.Image, at: tuple[float, float], words: str, size: int, *, grey: int, anchor: str) -> None:
    """Draw one line at `at` (x, y); `anchor` is Pillow's, such as "la" (left, top) or "mm" (middle)."""
    fill = grey if image.mode == "L" else (grey, grey, grey)
    ImageDraw.Draw(image).text(at, words, fill=fill, font=font(size), anchor=anchor)
