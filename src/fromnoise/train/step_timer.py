"""How long a step takes, from times at which the device is known to have done what it was given.

A GPU works behind Python, so only what lies between two moments of waiting for it can be timed: a window of steps. It
is as many steps as take about a fifth of a second, so that waiting costs little and a plan is never far behind.
"""

from __future__ import annotations

import statistics
from collections import deque

LONGEST = 50  # steps in a window
SHORT, LONG = 0.1, 0.4  # seconds; a window that took less is doubled, one that took more halved


class Pace:
    """Seconds a step over the last 200 windows, on a CPU of one step each.

    behind: it is a device that works behind Python. warm: so many steps are not timed: kernels are chosen and recorded
    in them. window: after how many steps to wait for the device. steps, seconds: all so far that were timed.
    """

    def __init__(self, behind: bool, warm: int = 0) -> None:
        self.behind, self.warm, self.window = behind, warm, 1
        self.steps, self.seconds = 0, 0.0
        self._recent: deque[float] = deque(maxlen=200)

    def timed(self, steps: int, seconds: float) -> None:
        """Take in a window of `steps` that took `seconds`."""
        if self.warm > 0:
            self.warm -= steps
            return
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds
        self._recent.append(seconds / steps)
        if self.behind and seconds < SHORT:
            self.window = min(2 * self.window, LONGEST)
        elif seconds > LONG:
            self.window = max(1, self.window // 2)

    @property
    def last(self) -> float:
        """Seconds a step in the last window; 0 before the first."""
        return self._recent[-1] if self._recent else 0.0

    @property
    def usual(self) -> float:
        """Seconds a step, the median of the later half: the first steps are slow, and a hiccup is no trend."""
        recent = list(self._recent)
        return max(1e-9, statistics.median(recent[len(recent) // 2 :])) if recent else float("inf")
