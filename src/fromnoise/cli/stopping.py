"""Ctrl-C and SIGTERM end any verb: what is half written goes, and the exit code names the signal."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from fromnoise.common.heard_signals import handled, heard, put_back

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Raised wherever a signal arrives; `exit_code` is 130 or 143."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Stopped at the first signal; a second one ends the process at once. Signals that are ignored stay so."""

    before = heard(NUMBERS)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        put_back(dict.fromkeys(before, signal.SIG_DFL))
        raise Stopped(number)

    with handled(before, stop):
        yield
