"""How much memory this process may still take: what the machine has, a container allows and `ulimit -v` leaves."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that can still be allocated; None where no system says."""
    return min((free for free in (_machine(), _container(), _process()) if free is not None), default=None)


def _machine() -> int | None:
    with suppress(OSError, ValueError):
        return _kibibytes(Path("/proc/meminfo"), "MemAvailable:")
    with suppress(AttributeError, ValueError, OSError):  # macOS; it does not say how much of it is in use
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container() -> int | None:
    """What the control group's limit leaves, beside cached files that would be given up."""
    with suppress(OSError, ValueError):  # no group, or "max"
        limit, used = (int((_GROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        return max(0, limit - used + int(stat.get("inactive_file", 0)))
    return None


def _process() -> int | None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return max(0, limit - (_kibibytes(Path("/proc/self/status"), "VmSize:") or 0))
    return None


def _kibibytes(path: Path, name: str) -> int | None:
    line = next((line for line in path.read_text(encoding="ascii").splitlines() if line.startswith(name)), None)
    return None if line is None else 1024 * int(line.split()[1])
