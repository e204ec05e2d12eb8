"""Mistakes of the user: each is one sentence, with the nearest valid name and an exit code.

The sentence states what was given, what was expected and what to do. The command line prints it and leaves
with `exit_code`; from Python it is an ordinary exception.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from fromnoise.common.text import some, visible

T = TypeVar("T")

_ALL_LISTED = 50
_CLOSE = 0.62  # of difflib's ratio: finds 58 of 63 misspelt flags, and something for 5 of 47 foreign ones
_CLOSER = 0.75  # of one that begins with another letter


class FromNoiseError(Exception):
    """A mistake that a sentence can explain; anything else that is raised is a bug of ours."""

    exit_code = 1
    quiet = False  # of many processes, another one says it

    def __init__(self, message: str = "") -> None:
        super().__init__(_shown(message))

    def add(self, words: str) -> None:
        """Add what was done about it."""
        self.args = (f"{self}{_shown(words)}",)


def _shown(message: str) -> str:
    # It may hold a name from anywhere. What is listed below a sentence is indented; other lines are part of a name.
    return re.sub(r"\n(?! {2})", r"\\n", visible(message))


class UsageError(FromNoiseError):
    """A flag, a name or a combination that cannot be; also an extra that is not installed."""

    exit_code = 2


class MemoryLimitError(UsageError):
    """Work that does not fit the memory, not even one image at a time."""


class DataError(FromNoiseError):
    """Images that are missing, broken or not what the run needs."""

    exit_code = 3


class CheckpointError(FromNoiseError):
    """A run folder or checkpoint that is missing, damaged or fails its check."""

    exit_code = 4


class DivergedError(FromNoiseError):
    """The loss stopped being a finite number and did not come back."""

    exit_code = 5


class WriteError(FromNoiseError):
    """The place to write to cannot be written."""

    exit_code = 6


class BusyError(FromNoiseError):
    """Another process is at work in the same run folder."""

    exit_code = 7


class PortError(FromNoiseError):
    """A network port that cannot be listened on."""

    exit_code = 8


class ProcessError(FromNoiseError):
    """Another process of the same work ended, does not answer, or computes something else."""

    exit_code = 9


class LostProcessError(ProcessError):
    """Another process is gone or silent; what this one holds is sound."""


class OtherProcessError(FromNoiseError):
    """The error of another process of the same work, with its `exit_code`."""

    def __init__(self, message: str, exit_code: int, *, quiet: bool = False) -> None:
        super().__init__(message)
        self.exit_code, self.quiet = exit_code, quiet


class Interrupted(FromNoiseError):
    """Work that stopped early but saved what there was; `exit_code` tells which (75, 130 or 143)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def closest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was probably meant to be, or None when nothing is close.

    The dashes before a flag do not count: they would make any two short ones alike. A choice that begins otherwise has
    to be closer: `steps` is not `few_steps`.
    """
    by_folded: dict[str, str] = {}
    for choice in choices:  # of spellings that differ in - and _ only, the first
        by_folded.setdefault(_folded(choice), choice)
    given = _folded(name)
    for found in difflib.get_close_matches(given, by_folded, n=3, cutoff=_CLOSE):
        if found[:1] == given[:1] or difflib.SequenceMatcher(None, found, given).ratio() >= _CLOSER:
            return by_folded[found]
    return None


def _folded(name: str) -> str:
    return name.lower().lstrip("-").replace("-", "_")


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """One sentence: `unknown recipe 'defalt'; did you mean 'default'? Known: ...`."""
    known = list(choices)
    likely = closest(name, known)
    hint = f"; did you mean '{likely}'?" if likely else "."
    shown = some(known) if len(known) > _ALL_LISTED else ", ".join(known)
    return f"unknown {kind} '{name}'{hint} Known: {shown}"


def choose(kind: str, name: str, table: Mapping[str, T]) -> T:
    """`table[name]`, or a UsageError that offers the nearest name."""
    if name not in table:
        raise UsageError(unknown(kind, name, table))
    return table[name]
