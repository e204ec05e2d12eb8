"""How much memory this process may still take: what the machine has, a container allows and `ulimit -v` leaves."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fromnoise.common.cpus import cgroup_folders


def free_memory() -> int | None:
    """Bytes that can still be allocated; None where no system says."""
    return min((free for free in (_machine(), limit_left(), _process()) if free is not None), default=None)


def _machine() -> int | None:
    with suppress(OSError, ValueError):
        return _kibibytes(Path("/proc/meminfo"), "MemAvailable:")
    with suppress(AttributeError, ValueError, OSError):  # macOS; it does not say how much of it is in use
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def limit_left(root: Path = Path("/")) -> int | None:
    """What the memory limits of this process's cgroup and those around it, version 1 or 2, leave; None without one.

    Cached files that would be given up count as free. root: where proc and sys are.
    """
    found = [_left(folder, "max", "current", "inactive_file") for folder in cgroup_folders(root, "", ("", "unified"))]
    names = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")
    found += [_left(folder, *names) for folder in cgroup_folders(root, "memory", ("memory",))]
    return min((left for left in found if left is not None), default=None)


def _left(folder: Path, limit: str, used: str, cached: str) -> int | None:
    with suppress(OSError, ValueError):  # not there, or "max"
        most, now = (int((folder / f"memory.{name}").read_text(encoding="ascii")) for name in (limit, used))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return max(0, most - now + int(stat.get(cached, 0)))
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
