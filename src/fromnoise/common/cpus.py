"""How many CPUs this process may use, and how many of them other programs leave to it.

    usable = min(CPUs of the affinity mask, quota of the cgroup)
    free   = min(CPUs - those that others keep busy, quota - what others of the cgroup use)

Linux counts both in files; elsewhere, and where a sandbox hides the files, the load is unknown.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # of /proc/stat in a second
_IDLE, _NICE, _FIELDS = (3, 4), 1, 8  # of a line of /proc/stat: idle and iowait; nice; what follows is in user already


def affinity() -> frozenset[int]:
    """The numbers of the CPUs that the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class Quota:
    """CPU time that a cgroup may use: `cpus` seconds a second. used: the file that counts it, in units of `unit`."""

    cpus: float
    used: Path
    unit: float

    def seconds(self) -> float | None:
        """CPU seconds that the cgroup has used; None where that cannot be read."""
        try:
            words = self.used.read_text().split()
            return float(words[words.index("usage_usec") + 1 if "usage_usec" in words else 0]) * self.unit
        except (OSError, ValueError, IndexError):
            return None


def quota(root: Path = Path("/")) -> Quota | None:
    """The smallest quota of this process's cgroup and those around it, version 1 or 2; None where there is none.

    root: where proc and sys are.
    """
    found = [*_quotas_v1(root), *_quotas_v2(root)]
    return min(found, key=lambda one: one.cpus, default=None)


def usable(root: Path = Path("/")) -> int:
    """How many CPUs this process may use, at least 1: a quota of 2.5 CPUs lets two threads run without a pause."""
    limit = quota(root)
    return max(1, min(len(affinity()), int(limit.cpus) if limit else len(affinity())))


def _quotas_v2(root: Path) -> Iterator[Quota]:
    for folder in cgroup_folders(root, "", ("", "unified")):
        match _numbers(folder / "cpu.max"):
            case [allowed, period] if allowed < math.inf:
                yield Quota(allowed / period, folder / "cpu.stat", 1e-6)


def _quotas_v1(root: Path) -> Iterator[Quota]:
    for folder in cgroup_folders(root, "cpu", ("cpu", "cpu,cpuacct")):
        match _numbers(folder / "cpu.cfs_quota_us"), _numbers(folder / "cpu.cfs_period_us"):
            case [allowed], [period] if allowed > 0:
                yield Quota(allowed / period, folder / "cpuacct.usage", 1e-9)


def cgroup_folders(root: Path, controller: str, mounts: tuple[str, ...]) -> Iterator[Path]:
    """The folder of this process's cgroup, then those around it; a container sees only its own, as the top."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, own in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controller in controllers.split(","):
            inner = PurePosixPath(own.lstrip("/"))
            for mount in mounts:
                for part in (inner, *inner.parents):
                    yield root / "sys/fs/cgroup" / mount / part


def _numbers(path: Path) -> list[float]:
    """The numbers in a file, "max" for infinity; none where it cannot be read."""
    try:
        return [math.inf if word == "max" else float(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


@dataclass(frozen=True)
class Reading:
    """Seconds at one moment. at: of the clock. own: CPU time of this process. busy, nice: CPU time of all processes on
    our CPUs, and of those that run at low priority. group: CPU time of the cgroup. None: not known."""

    at: float
    own: float
    busy: float | None
    nice: float
    group: float | None


@dataclass(frozen=True)
class Load:
    """What others left between two readings. free: CPUs, None where that is not known. yielding: CPUs in use by others
    at low priority, which may or may not step back for us."""

    seconds: float
    free: float | None
    yielding: float = 0.0


class LoadMeter:
    """Reads the counters of Linux; `root` is where proc and sys are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root, self.cpus, self.quota = root, affinity(), quota(root)

    def read(self) -> Reading:
        """The counters now."""
        times = os.times()  # with those of children that have ended
        busy, nice = self._busy()
        return Reading(time.monotonic(), sum(times[:4]), busy, nice, self.quota.seconds() if self.quota else None)

    def load(self, before: Reading, after: Reading) -> Load:
        """What others left to this process between two readings."""
        seconds, own = after.at - before.at, after.own - before.own
        if before.busy is None or after.busy is None or seconds <= 0:
            return Load(seconds, None)
        busy = after.busy - before.busy
        if busy == 0 and own > 10 / _TICKS:
            return Load(seconds, None)  # a sandbox makes up counters that stand still while this process works
        others = max(0.0, busy - own) / seconds
        free = len(self.cpus) - others
        if self.quota and before.group is not None and after.group is not None:
            free = min(free, self.quota.cpus - max(0.0, after.group - before.group - own) / seconds)
        lowered = hasattr(os, "nice") and os.nice(0) > 0  # then our own time is counted there as well
        yielding = 0.0 if lowered else min(others, (after.nice - before.nice) / seconds)
        return Load(seconds, free, yielding)

    def _busy(self) -> tuple[float | None, float]:
        """(seconds that our CPUs were busy or taken by a virtual machine's host, those of them at low priority)."""
        busy = nice = 0.0
        try:
            lines = (self.root / "proc/stat").read_text().splitlines()
            for name, *fields in (line.split() for line in lines if line.startswith("cpu")):
                if name[3:].isdigit() and int(name[3:]) in self.cpus:
                    numbers = [int(field) for field in fields[:_FIELDS]]
                    busy += sum(numbers) - sum(numbers[place] for place in _IDLE)
                    nice += numbers[_NICE]
        except (OSError, ValueError, IndexError):
            return None, 0.0
        return busy / _TICKS, nice / _TICKS
