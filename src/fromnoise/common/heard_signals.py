"""Which signals may be taken over: one that is ignored, as under nohup or in the background of a script, stays so."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any


def heard(numbers: Iterable[int]) -> dict[int, Any]:
    """The present handlers of those of the signals `numbers` that are not ignored."""
    found = {number: signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}
