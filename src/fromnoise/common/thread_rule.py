"""How many threads to compute with, decided from one window of time after the other.

Threads wait for each other at every operation, so one that has to share its CPU holds up all: beside one busy program,
two threads on two CPUs are several times slower than one. So there are as many as there are free CPUs:

    threads = floor(free + 0.35), at least 1

0.35: beside a program that uses less than about a third of a CPU, two threads still do more than one. Where the load
of the machine is not known, the pace decides: fewer threads are tried when it falls, and kept where they are faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fromnoise.common.cpus import Load

TOLERANCE = 0.35  # of a CPU that others may use beside as many threads as CPUs
DOWN, UP = 2, 3  # windows in a row that speak for fewer threads, and for more
LONGEST = 64  # windows that have to speak for more after threads were often added in vain
SLOWER = 1.6  # times the best seconds of a step, from which on fewer threads are tried
DISTRUST = 300.0  # seconds for which programs at low priority count like others, after they did not step back


def threads_for(free: float, most: int) -> int:
    """The number of threads for `free` CPUs, from 1 to `most`."""
    return min(most, max(1, int(free + TOLERANCE)))


@dataclass
class ThreadRule:
    """Decides on `number` of threads, from 1 to `most`.

    Few windows in a row have to speak for a change, more of them after a change that did not last, so that the number
    does not go up and down with every burst of load.
    """

    most: int
    number: int
    _wanted: list[int] = field(default_factory=list)  # by the last windows, while they differ from `number` one way
    _patience: int = UP
    _since_up: int = LONGEST  # windows
    _distrust: float = 0.0  # seconds
    _best: dict[int, float] = field(default_factory=dict)  # seconds of a step, by number of threads
    _waited: int = 0  # windows that spoke for trying another number
    _tried_from: tuple[int, float] | None = None  # while another is tried: (number, seconds of a step) before

    def start(self, load: Load) -> int:
        """The number to begin with, after one window of load."""
        if load.free is not None:
            self.number = threads_for(load.free + load.yielding, self.most)
        return self.number

    def decide(self, load: Load, step_seconds: float | None = None) -> int:
        """The number after a window: its load, and how long a training step took in it."""
        self._since_up += 1
        if load.free is not None:
            self._change(self._by_load(load, load.free))
        elif step_seconds is not None:
            self._by_pace(step_seconds)
        return self.number

    def _by_load(self, load: Load, free: float) -> int:
        """What this window speaks for."""
        self._distrust -= load.seconds
        optimistic, cautious = (threads_for(cpus, self.most) for cpus in (free + load.yielding, free))
        if optimistic > cautious and optimistic == self.number:  # we ran there, and they took the CPUs all the same
            self._distrust = DISTRUST
        return cautious if self._distrust > 0 else optimistic

    def _change(self, wanted: int) -> None:
        """Take up `wanted` once enough windows in a row speak for it."""
        more, enough = wanted > self.number, wanted == self.most or wanted - self.number >= max(1, self.number // 8)
        if wanted == self.number or (more and not enough):
            self._wanted = []
            return
        if self._wanted and (self._wanted[-1] > self.number) != more:
            self._wanted = []
        self._wanted.append(wanted)
        if len(self._wanted) >= (self._patience if more else DOWN):
            self._set(min(self._wanted) if more else max(self._wanted))

    def _set(self, number: int) -> None:
        if number > self.number:
            self._since_up = 0
        else:
            flapped = self._since_up < 4 * self._patience
            self._patience = min(2 * self._patience, LONGEST) if flapped else UP
        self.number, self._wanted = number, []

    def _by_pace(self, seconds: float) -> None:
        """Try another number for a window, and keep it where it is faster."""
        if self._tried_from is not None:
            (before, slow), self._tried_from = self._tried_from, None
            if seconds > 0.9 * slow:
                self.number, self._patience = before, min(2 * self._patience, LONGEST)
            elif 1 < self.number < before:  # fewer may be better still
                self._tried_from, self.number = (self.number, seconds), self.number // 2
            return
        best = self._best[self.number] = min(seconds, self._best.get(self.number, seconds))
        slowed = seconds > SLOWER * best and self.number > 1
        if not slowed and self.number == self.most:
            self._waited, self._patience = 0, UP
            return
        self._waited += 1
        if self._waited >= self._patience:
            self._waited, self._tried_from = 0, (self.number, seconds)
            self.number = self.number // 2 if slowed else min(self.most, 2 * self.number)
