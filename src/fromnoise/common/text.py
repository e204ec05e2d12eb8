"""Text for people: counts, lists, tables, and names that are safe to print."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

_HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_NO_BYTE = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte of a name


def count(number: int, noun: str) -> str:
    """`1 image`, `2,500 images`; the plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def time_words(t: float, digits: int = 2) -> str:
    """A time of a process with few digits: `0.86`, and `852` where times are places in a table of 1,000."""
    return f"{t:.0f}" if t >= 10 else f"{t:.{digits}g}"


def in_bytes(number: float) -> str:
    """`640 bytes`, `1.2 MB`, `40 GB`: two digits or three, in powers of 1,000."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.{1 if number < 10 * unit else 0}f} {name}"
    return f"{number:.0f} bytes"


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first `limit` names, comma-separated, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def file_part(name: str) -> str:
    """`name` as part of a file's name on every system: letters, digits, `_`, `.` and `-`, at most 60 of them."""
    return re.sub(r"[^\w.-]", "-", name)[:60]


def printable(name: str) -> str:
    """A file's name as text that any terminal, JSON or HTML file can take.

    Names that are not valid UTF-8 reach Python with lone surrogates; those bytes, and line breaks and the like,
    are written as escapes.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in visible(name))


def first_line(error: BaseException) -> str:
    """What an error of a library says first; its kind where it says nothing."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0])


def visible(text: str) -> str:
    """`text` whose characters all show: what controls a terminal or the direction of writing is written as an escape.

    Line breaks, tabs and all kinds of spaces stay.
    """
    if _HIDDEN.search(text) is None:
        return text
    whole = _NO_BYTE.sub(lambda found: _escape(found[0]), text).encode("utf-8", "surrogateescape")
    return _HIDDEN.sub(lambda found: _escape(found[0]), whole.decode("utf-8", "backslashreplace"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a word of a command, as a shell gives it back: in quotes where it needs them, and never like a flag."""
    text = os.fspath(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def hw(height: int, width: int) -> str:
    """`48x64`: height, then width, as everywhere in fromnoise."""
    return f"{height}x{width}"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
