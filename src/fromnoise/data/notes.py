"""Sentences about images that can be said in other languages too."""

from __future__ import annotations

from typing import Any


class Note(str):
    """A sentence on what was found or done, with what it says in values.

    kind: which sentence it is. values: what stands in it, plain enough for JSON.
    """

    kind: str
    values: dict[str, Any]

    def __new__(cls, text: str, kind: str = "", **values: Any) -> Note:
        """The sentence `text`."""
        made = super().__new__(cls, text)
        made.kind, made.values = kind, values
        return made


def said(note: str) -> dict[str, Any]:
    """{text, kind, values} of a note; kind is "" for a sentence without values, as one that was read from a file."""
    found = note if isinstance(note, Note) else Note(note)
    return {"text": str(found), "kind": found.kind, "values": found.values}
