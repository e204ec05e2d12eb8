"""The number of threads that torch computes with in this process: fixed, or following the load of the machine.

It is fixed by `--num_threads`, by `train.num_threads`, by `OMP_NUM_THREADS` or `MKL_NUM_THREADS` in the environment, or
by the checkpoint of a run whose number was fixed; the first of these counts. Otherwise it is torch's own number, cut to
what affinity and quota allow, and does not change on an idle machine; beside other programs it follows the load
(`thread_rule`). Results depend on the number in their last bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from fromnoise.common.cpus import Load, LoadMeter, Reading, usable
from fromnoise.common.progress import report_progress
from fromnoise.common.text import count
from fromnoise.common.thread_rule import ThreadRule, threads_for

T = TypeVar("T")
Change = dict[str, int | float | None]

WINDOW = 1.0  # seconds between two looks at the load
_LEAST = 0.2  # seconds from which counters in steps of 10 ms make a load
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def change(before: int, after: int, free: float | None) -> Change:
    """A change of the number of threads, with the CPUs that others left before it (None: not known)."""
    return {"threads": after, "before": before, "free_cpus": None if free is None else round(free, 2)}


class Threads:
    """torch's threads in this process. Only what calls `start` is subject to it: importing changes nothing.

    Arguments:
        meter: reads the load.
        get, put: read and set torch's number.
        probe: seconds that a fixed computation takes with so many threads, where the load is not known.

    Attributes:
        fixed: whether the number never changes. requested: whether a flag or a setting fixed it. shared: whether it is
            this process's part of the CPUs, beside others that train with it.
        changes: those that nobody has taken yet.
    """

    def __init__(
        self,
        meter: LoadMeter | None = None,
        get: Callable[[], int] | None = None,
        put: Callable[[int], None] | None = None,
        probe: Callable[[int], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter, self.clock, self._probe = meter or LoadMeter(), clock, probe or _probe
        self._get, self._put = get or _torch_threads, put or _set_torch_threads
        self.fixed = any(os.environ.get(name) for name in _VARIABLES)
        self.requested = self.shared = False
        self.changes: list[Change] = []
        self._rule: ThreadRule | None = None
        self._said = False
        self._pace: list[float] = []
        self._before: Reading = self.meter.read()
        self._load = Load(0.0, None)

    @property
    def number(self) -> int:
        """Threads in use."""
        return self._rule.number if self._rule else self._get()

    def fix(self, number: int) -> None:
        """Compute with `number` threads from now on, whatever the load."""
        self.fixed = self.requested = True
        self._rule = None
        self._put(number)

    def share(self, processes: int, least: Callable[[int], int]) -> None:
        """Compute with this process's part of the CPUs from now on, unless a number is fixed already.

        All processes have to round alike, so they all take the number that is the least among them. torchrun's own
        OMP_NUM_THREADS=1, for processes that do not share CPUs, fixes nothing.

        Arguments:
            processes: on this machine.
            least: gives the least of all processes' numbers.
        """
        by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("OMP_NUM_THREADS") == "1"
        fixed = self.requested or (self.fixed and not by_torchrun)
        number = least(self.number if fixed else max(1, usable() // processes))
        if not self.requested:
            self.fixed = self.shared = True
            self._rule = None
            self._put(number)

    def start(self) -> int:
        """Choose the number by the load since the last look, at once, and follow the load from then on; returns it."""
        if self.fixed or self._rule:
            return self.number
        whole = self._get()
        most = min(whole, usable())
        rule = self._rule = ThreadRule(most, most)
        now = self.meter.read()
        load = self.meter.load(self._before, now)
        if load.seconds >= _LEAST:
            self._before, self._load = now, load
            rule.start(load)
        if load.free is None and most > 1 and self._probe(most) > self._probe(1):
            rule.number = 1
        if rule.number != whole or load.free is None:
            self._put(rule.number)
        self._note(most, load.free)
        return self.number

    def adapt(self, step_seconds: float | None = None) -> None:
        """Look at the load, once a second at most, and change the number where it calls for that.

        Between two operations of the thread that computes. step_seconds: how long the last training step took.
        """
        if self.fixed or self._rule is None:
            return
        if step_seconds is not None:
            self._pace.append(step_seconds)
        if self.clock() - self._before.at < WINDOW:
            return
        now, before = self.meter.read(), self._rule.number
        load, self._before = self.meter.load(self._before, now), now
        pace, self._pace = sorted(self._pace)[len(self._pace) // 2 :], []
        if self._get() != before:  # set by somebody else in this process, who knows why
            self.fixed = True
            return
        if self._rule.decide(load, pace[0] if pace else None) != before:
            self._put(self._rule.number)
            self._note(before, load.free)

    def follow(self) -> None:
        """`start` where that has not been done, and `adapt`: for work of which nobody knows who began it."""
        self.start()
        self.adapt()

    def take_up(self, number: int, fixed: bool) -> None:
        """Go on with the number of a checkpoint, unless another one is fixed here or this machine has fewer CPUs."""
        if self.fixed or self._rule is None or not 1 <= number <= self._rule.most:
            return
        if fixed:
            self.fixed, self._rule = True, None
            self._put(number)
        elif number < self._rule.number:
            self._rule.number = number
            self._put(number)

    def room(self) -> int:
        """How many CPUs work outside torch, such as reading files, may keep busy now."""
        if self.requested or self._rule:
            return self.number
        load = self.meter.load(self._before, self.meter.read())
        known = load.free is not None and load.seconds >= _LEAST
        return threads_for(load.free, usable()) if known and load.free is not None else usable()

    def about(self) -> str:
        """The number, what limits it and what others leave, such as "1 of 2 CPUs, others leave 1.0"."""
        number, limit = self.start(), self.meter.quota
        words = f"{number} of {count(len(self.meter.cpus), 'CPU')}"
        if limit:
            words += f", a quota of {limit.cpus:g}"
        if self.fixed:
            return words + (", this process's part" if self.shared else ", a fixed number")
        now = self.meter.read()
        load = self.meter.load(self._before, now) if now.at - self._before.at >= _LEAST else self._load
        return words if load.free is None else f"{words}, others leave {max(0.0, load.free):.1f}"

    def take_changes(self) -> list[Change]:
        """The changes since the last call."""
        taken, self.changes = self.changes, []
        return taken

    @contextmanager
    def held(self, number: int | None) -> Iterator[None]:
        """Compute with `number` threads inside, unless a flag has fixed another; None leaves the number as it is.

        What is fixed inside, also by a checkpoint, is as before afterwards.
        """
        before, own = (self.fixed, self.requested, self._rule), self.number
        if number is not None and not self.requested:
            self.fix(number)
        try:
            yield
        finally:
            if (self.fixed, self.requested) != before[:2]:
                self.fixed, self.requested, self._rule = before
                self._put(own)

    def _note(self, before: int, free: float | None) -> None:
        """Record a change, and say the first one."""
        assert self._rule is not None
        after = self._rule.number
        if after == before:
            return
        self.changes.append(change(before, after, free))
        if not self._said:
            self._said = True
            cpus = len(self.meter.cpus)
            why = "the pace fell" if free is None else f"other programs leave {max(0.0, free):.1f} of {cpus} CPUs"
            report_progress(
                f"note: {why}, so {count(after, 'thread')} instead of {before} will compute; the number follows the "
                "load (--num_threads N fixes it)"
            )


def following_load(items: Iterable[T]) -> Iterator[T]:
    """`items`, between which the number of this process's threads may change."""
    for item in items:
        THREADS.follow()
        yield item


def _probe(number: int) -> float:
    """Seconds for a few convolutions and exponentials with `number` threads, about 20 ms of one idle CPU."""
    import torch

    torch.set_num_threads(number)
    images, kernels = torch.ones(16, 16, 32, 32), torch.ones(16, 16, 3, 3)
    with torch.no_grad():
        for i in range(17):
            if i == 1:  # the first one prepares
                began = time.perf_counter()
            torch.nn.functional.conv2d(images, kernels, padding=1).exp_()
    return time.perf_counter() - began


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _set_torch_threads(number: int) -> None:
    import torch

    torch.set_num_threads(number)


THREADS = Threads()  # of this process, as torch's own number is
