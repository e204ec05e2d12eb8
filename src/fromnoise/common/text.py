"""Text for people: counts, lists, tables, and names that are safe to print."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, noun: str) -> str:
    """`1 image`, `2,500 images`; the plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first `limit` names, comma-separated, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def printable(name: str) -> str:
    """A file's name as text that any terminal, JSON or HTML file can take.

    Names that are not valid UTF-8 reach Python with lone surrogates; those bytes, and line breaks and the like,
    are written as escapes.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
