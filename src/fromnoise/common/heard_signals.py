"""Which signals may be taken over: one that is ignored, as under nohup or in the background of a script, stays so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


def heard(numbers: Iterable[int]) -> dict[int, Any]:
    """The present handlers of those of the signals `numbers` that are not ignored.

    There are none outside the main thread, where Python allows no others.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}


@contextmanager
def handled(before: Mapping[int, Any], handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """`handle` for the signals of `before`, which `heard` gave, whose handlers come back at the end."""
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        put_back(before)


def put_back(before: Mapping[int, Any]) -> None:
    """Let the handlers that `heard` gave have their signals again."""
    for number, handler in before.items():
        signal.signal(number, handler)
