"""Time as people write it, and how long this process has been running."""

from __future__ import annotations

import math
import os
import re
import time
from pathlib import Path

from fromnoise.common.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_IMPORTED_AT = time.monotonic()
_SLOWEST_START = 20.0  # seconds that Python may take from its own start to this module, on a cold disk


def parse_duration(text: str) -> float:
    """Seconds in "90s", "3m", "1.5h" or a plain number of seconds; UsageError for anything else."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([smh]?)\s*", text)
    if not match or not 0 < float(match[1]) < math.inf:
        raise UsageError(f"'{text}' is not a duration; write a positive number with s, m or h, such as 90s, 3m or 1.5h")
    return float(match[1]) * _UNITS[match[2]]


def format_duration(seconds: float) -> str:
    """Seconds as "8 s", "2 min 05 s" or "1 h 04 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def process_start() -> float:
    """When this process started, on the clock of `time.monotonic`, which no change of the system's time moves.

    Linux reports it (start time in /proc/self/stat, in ticks since boot). Elsewhere it is when this module was first
    imported, a few tenths of a second late; and also where Linux names a time long before that: then the process was
    something else first, such as a shell whose script ends in this command, or a notebook. So it is where Linux names a
    later time: in an LXC container the uptime is the container's, and the ticks are those since the host's boot.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        started = time.monotonic() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED_AT
    return started if _IMPORTED_AT - _SLOWEST_START < started < _IMPORTED_AT else _IMPORTED_AT
