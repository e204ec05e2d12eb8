"""How a picture that fromnoise writes is recognised later: by a text inside, whatever its name and place are.

A PNG says `Software: fromnoise figure` or `fromnoise sample` in its first text chunk, a GIF in its comment. A figure
is never data; a folder of samples may be.
"""

from __future__ import annotations

from typing import Literal

Mark = Literal["figure", "sample"]

KEY = "Software"
HEAD_BYTES = 2048
"""How many of a file's first bytes hold the mark."""

_STARTS = (b"\x89PNG\r\n\x1a\n", b"GIF8")


def mark_text(mark: Mark) -> str:
    """What is written into the picture."""
    return f"fromnoise {mark}"


def mark_in(head: bytes) -> Mark | None:
    """The mark in the first bytes of a file; None for a picture from elsewhere."""
    if not head.startswith(_STARTS):
        return None
    marks: tuple[Mark, ...] = ("figure", "sample")
    for mark in marks:
        text = mark_text(mark).encode()
        # In a PNG the text follows its key, in a GIF the byte that gives a comment's length.
        if KEY.encode() + b"\0" + text in head or b"\x21\xfe" + bytes([len(text)]) + text in head:
            return mark
    return None
