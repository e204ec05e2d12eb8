"""The C library's memory: kept for the next tensors while training, given back where memory runs out.

Where every step's large tensors come fresh from the system, it clears their pages each time: a tenth of a step of a
small network. Whether that happens depends by default on what the process freed before.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_THRESHOLD: 32 * 2**20}  # more is refused


def keep_freed_memory() -> None:
    """Keep what tensors free for the next ones, where the C library is glibc."""
    if hasattr(_library(), "mallopt"):
        for parameter, most in _MOST.items():
            _library().mallopt(parameter, most)


def return_freed_memory() -> None:
    """Give back to the system what was kept."""
    if hasattr(_library(), "malloc_trim"):
        _library().malloc_trim(0)


@cache
def _library() -> Any:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
