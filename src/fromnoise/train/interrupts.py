"""Ctrl-C and SIGTERM only set a flag; the loop checks it between steps, where everything can be saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fromnoise.common.heard_signals import handled, heard, put_back

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """received: the signal that requested a stop, or None."""

    received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return EXIT_CODES[self.received or signal.SIGINT]


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """A request that the first SIGINT or SIGTERM sets; a second one acts as it always does.

    Outside the main thread the request stays unset.
    """
    request, before = StopRequest(), heard(EXIT_CODES)

    def handle(number: int, frame: FrameType | None) -> None:
        request.received = signal.Signals(number)
        put_back(before)

    with handled(before, handle):
        yield request
