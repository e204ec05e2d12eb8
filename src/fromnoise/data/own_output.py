"""What fromnoise wrote itself among the images of a folder: run folders, figures, and samples beside other images.

A run folder is one whose config.json holds a run's record; a picture is known by its mark. All of it is left aside, and
said. Samples alone are data: someone wants to measure them, or to train on them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from fromnoise.common.errors import DataError
from fromnoise.common.marks import HEAD_BYTES, Mark, mark_in
from fromnoise.common.text import count, printable, some

_MARKED = (".png", ".gif")
_LARGEST_RECORD = 2**24
_NAMED = 5


@dataclass(frozen=True)
class Found:
    """A file: folders and name, how to open it, and how to read only its first bytes where that is cheaper."""

    parts: tuple[str, ...]
    open: Callable[[], BinaryIO]
    start: Callable[[int], bytes] | None = None

    def head(self, length: int) -> bytes:
        """Its first bytes; none where it cannot be read, which is reported when it is."""
        try:
            if self.start is not None:
                return self.start(length)
            with self.open() as file:
                return file.read(length)
        except Exception:  # a damaged member of a .zip raises what its compression happens to raise
            return b""


def without_own(
    files: Sequence[Found], is_image: Callable[[Found], bool], where: str
) -> tuple[list[Found], tuple[str, ...]]:
    """The files that are somebody's data, and what to say about the others.

    Raises DataError where the whole is a run folder, or holds nothing but figures.
    """
    runs = _runs(files)
    if () in runs:
        raise DataError(
            f"{where} is a run folder, not images; give images, such as those of `fromnoise sample RUN --out FOLDER/`"
        )
    outside = [file for file in files if not any(file.parts[: len(run)] == run for run in runs)]
    marks = {file.parts: mark for file in outside if is_image(file) and (mark := _mark(file))}
    others = any(is_image(file) and file.parts not in marks for file in outside)
    figures = [parts for parts, mark in marks.items() if others or mark == "figure"]
    if figures and not others and len(figures) == len(marks):
        raise DataError(f"{where} holds only figures that fromnoise made, e.g. {_name(figures[0])}; give other images")
    aside = set(figures)
    return [file for file in outside if file.parts not in aside], _notes(runs, figures)


def _runs(files: Sequence[Found]) -> tuple[tuple[str, ...], ...]:
    """The folders that are runs."""
    requests = {file.parts[:-1] for file in files if file.parts[-1] == "config.toml"}
    return tuple(
        file.parts[:-1]
        for file in files
        if file.parts[-1] == "config.json" and file.parts[:-1] in requests and _is_record(file)
    )


def _is_record(file: Found) -> bool:
    try:
        record = json.loads(file.head(_LARGEST_RECORD))
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"format", "settings", "spec"} <= set(record)


def _mark(file: Found) -> Mark | None:
    return mark_in(file.head(HEAD_BYTES)) if file.parts[-1].lower().endswith(_MARKED) else None


def _notes(runs: Sequence[tuple[str, ...]], figures: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    kinds = [count(len(found), noun) for found, noun in ((runs, "run folder"), (figures, "image")) if found]
    names = [_name(parts) for parts in (*runs, *figures)]
    return (f"left aside what fromnoise made: {' and '.join(kinds)} ({some(names, _NAMED)})",) if kinds else ()


def _name(parts: tuple[str, ...]) -> str:
    return printable("/".join(parts))
