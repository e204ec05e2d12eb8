"""What was computed from all images of a mapped file, kept in the cache: to read them all again would take minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fromnoise.common.errors import WriteError
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.data.download import cache_dir

T = TypeVar("T", int, str)


def known_folder() -> Path:
    """Where such values are kept."""
    return cache_dir() / "known"


def remembered(identity: str, what: str, compute: Callable[[], T]) -> T:
    """The value of `compute`, which depends on the images of this identity and on `what` alone; computed once.

    A cache that cannot be written only costs time.
    """
    path = known_folder() / f"{hashlib.sha256(f'{identity} {what}'.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, KeyError):
        found = read_stored(path)["value"]
        if isinstance(found, int | str):
            return found  # type: ignore[return-value]
    value = compute()
    with suppress(WriteError):
        write_stored(path, {"value": value})
    return value
