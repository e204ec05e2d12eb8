"""JSON objects that are read back: whole, or refused.

A file of our own holds the SHA-256 of all else in it, so that a changed digit is noticed too. One without it was
written by an earlier version, or by hand, and is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fromnoise.common.files import ADVICE, read_regular, write_json

CHECKSUM = "sha256"
MOST_BYTES = 64_000_000


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object that `content` holds; ValueError where it is damaged, too deep, or another value."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, but it holds {type(value).__name__}")
    return value


def write_stored(
    path: str | os.PathLike[str], content: Mapping[str, Any], *, durable: bool = False, advice: str = ADVICE
) -> Path:
    """Write `content` and its checksum to `path` as JSON; see `write_json`."""
    return write_json(path, signed(content), durable=durable, advice=advice)


def finite(value: Any) -> Any:
    """`value` with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with its checksum."""
    return {**content, CHECKSUM: checksum(content)}


def read_stored(path: Path) -> dict[str, Any]:
    """What `write_stored` wrote; OSError, or ValueError where it is damaged or does not fit its checksum."""
    return verified(parse_object(read_regular(path, MOST_BYTES)))


def verified(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` without its checksum; ValueError where it does not fit."""
    rest = {name: value for name, value in content.items() if name != CHECKSUM}
    if CHECKSUM in content and content[CHECKSUM] != checksum(rest):
        raise ValueError(
            f"it was changed after it was written: its {CHECKSUM} does not fit; without that line it is taken as it is"
        )
    return rest


def checksum(content: Mapping[str, Any]) -> str:
    """The SHA-256 of `content` as JSON with sorted names."""
    plain = json.loads(json.dumps(content))  # names that are numbers become text first, so that they sort alike
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
