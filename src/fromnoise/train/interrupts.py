"""Ctrl-C and SIGTERM only set a flag; the loop checks it between steps, where everything can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fromnoise.common.heard_signals import heard

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

    Outside the main thread Python allows no handlers, and the request stays unset.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = heard(EXIT_CODES)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        request.received = signal.Signals(number)
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
