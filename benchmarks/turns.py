"""Contenders that wait in processes of their own and take turns: each with its own memory, one clock for all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import Any, cast

Turn = Callable[[float], dict[str, float]]
"""Steps for so many seconds: what `stepping.timed` says of them."""


class Waiting:
    """A process begun with `words` that prints what it is as a line of JSON, then a line for every turn it is told.

    SystemExit, which names the contender, where it ended instead.
    """

    about: dict[str, Any]

    def __init__(self, name: str, words: Sequence[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def until_ready(self) -> None:
        """Wait for it to say what it is: `about`."""
        self.about = self._said()

    def __call__(self, seconds: float) -> dict[str, float]:
        """Let it take steps for `seconds`; the others wait meanwhile."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone: then it says nothing
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        return cast(dict[str, float], self._said())

    def end(self) -> None:
        """There are no more turns."""
        with suppress(BrokenPipeError):
            self.process.communicate()

    def _said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"{self.name} ended with {self.process.wait()} before its turn was over; see above")
        return cast(dict[str, Any], json.loads(line))


@contextmanager
def waiting(commands: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Waiting]]:
    """{name: the process of that name}, made ready one after the other, ended in the end whatever happens."""
    with ExitStack() as stack:
        found = {}
        for name, words in commands.items():
            print(f"making ready: {name}", file=sys.stderr, flush=True)
            found[name] = Waiting(name, words)
            stack.callback(found[name].end)
            found[name].until_ready()
        yield found


def take_turns(about: Mapping[str, Any], turn: Turn) -> None:
    """What the waiting process does: says what it is, then takes a turn for every line it reads."""
    for said in chain([about], (turn(float(line)) for line in sys.stdin)):
        print(json.dumps(said), flush=True)
