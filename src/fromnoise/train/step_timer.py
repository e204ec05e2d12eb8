"""How long a step takes, timed only where the device is known to have finished its work.

A GPU runs behind Python, so the time of a single step cannot be seen from here: only a window of steps between two
synchronisations can. A window takes about a fifth of a second, so that waiting costs little and a plan is never far
behind. On a CPU a window is one step.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from types import TracebackType

LONGEST = 50  # steps in a window
SHORT, LONG = 0.1, 0.4  # seconds; a window that took less is doubled, one that took more halved


class StepTimer:
    """Seconds per step over the last 200 windows. `with timer:` around a step adds its time to the current window.

    Arguments:
        asynchronous: the device runs behind Python.
        warmup: so many first steps are not timed, because kernels are chosen and captured in them.

    Attributes:
        window: steps between two synchronisations.
        steps, seconds: all that were timed so far.
    """

    def __init__(self, asynchronous: bool, warmup: int = 0) -> None:
        self.asynchronous, self.warmup, self.window = asynchronous, warmup, 1
        self.steps, self.seconds = 0, 0.0
        self._recent: deque[float] = deque(maxlen=200)
        self._seconds_since_sync = self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds_since_sync += time.perf_counter() - self._began

    def synchronized(self, steps: int) -> None:
        """End a window of `steps`: the device has finished them."""
        seconds, self._seconds_since_sync = self._seconds_since_sync, 0.0
        self.record(steps, seconds)

    def discard(self) -> None:
        """Leave out the current window, in which something else waited for the device."""
        self._seconds_since_sync = 0.0

    def record(self, steps: int, seconds: float) -> None:
        """Take in a window of `steps` that took `seconds`."""
        if self.warmup > 0:
            self.warmup -= steps
            return
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        self._recent.append(seconds / steps)
        if self.asynchronous and seconds < SHORT:
            self.window = min(2 * self.window, LONGEST)
        elif seconds > LONG:
            self.window = max(1, self.window // 2)

    def restart(self) -> None:
        """Forget the speed of earlier steps but the last, because the next ones run under other conditions."""
        while len(self._recent) > 1:
            self._recent.popleft()

    @property
    def latest(self) -> float:
        """Seconds per step in the last window; 0 before the first."""
        return self._recent[-1] if self._recent else 0.0

    @property
    def lasting(self) -> float:
        """Seconds per step in the faster of the last two windows: a laptop that slept makes one of them long."""
        return min(self._recent[-1], self._recent[-2]) if len(self._recent) > 1 else self.latest

    @property
    def median(self) -> float:
        """Seconds per step, the median of the later half: the first steps are slow, and a hiccup is not a trend."""
        recent = list(self._recent)
        return max(1e-9, statistics.median(recent[len(recent) // 2 :])) if recent else float("inf")
