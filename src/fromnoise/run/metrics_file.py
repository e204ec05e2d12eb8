"""metrics.jsonl on disk: read line by line, so that a damaged one costs itself and nothing else.

A line that a kill cut short, that is no JSON, or that lacks what its kind has to hold is damaged.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.common.files import read_regular, write_bytes
from fromnoise.common.stored_json import finite

Line = dict[str, Any]
_ADVICE = "free some space, or allow writing there"


@dataclass(frozen=True)
class MetricsFile:
    """The lines of the file at `path`, which need not exist yet."""

    path: Path

    def read(self) -> tuple[list[Line], int]:
        """(the lines, how many damaged ones were left out); CheckpointError for a file that may not be read."""
        found = [line for _, line in self._parsed()]
        lines = [line for line in found if line is not None]
        return lines, len(found) - len(lines)

    def after(self, offset: int) -> tuple[list[Line], int]:
        """(the whole lines from the byte `offset` on, the byte at which the next begins); raises OSError."""
        if not self.path.exists():
            return [], offset
        with self.path.open("rb") as file:
            file.seek(offset)
            whole, end, _ = file.read().rpartition(b"\n")
        lines = [parsed_line(text) for text in whole.splitlines()]
        return [line for line in lines if line is not None], offset + len(whole + end)

    def append(self, lines: Sequence[Line]) -> None:
        """Add `lines`, all of them or none; WriteError where that cannot be."""
        content = "".join(json.dumps(finite(line)) + "\n" for line in lines).encode()
        try:
            with self.path.open("a+b") as file:
                before = file.seek(0, os.SEEK_END)
                file.seek(max(0, before - 1))
                cut = file.read(1) not in (b"", b"\n")  # a kill may have left a line without its end
                try:
                    file.write(b"\n" * cut + content)
                    file.flush()
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file.fileno(), before)
                    raise
        except OSError as error:
            raise WriteError(f"cannot write '{self.path}' ({error.strerror}); {_ADVICE}") from error

    def rewind(self, images: int) -> int:
        """Drop the lines beyond `images`, which training will write again; returns how many damaged ones there are.

        They are the last ones, which are cut off in place: that needs no space on the disk. Raises WriteError.
        """
        parsed = self._parsed()
        keep = [line is None or line["images"] <= images for _, line in parsed]
        end = max((i + 1 for i, (_, line) in enumerate(parsed) if keep[i] and line is not None), default=0)
        damaged = sum(line is None for _, line in parsed[:end])
        if not all(keep[:end]):  # a damaged number among them: the order is not that of training
            content = b"".join(text for i, (text, _) in enumerate(parsed[:end]) if keep[i])
            write_bytes(self.path, content, advice=_ADVICE)
        elif end < len(parsed):
            try:
                os.truncate(self.path, sum(len(text) for text, _ in parsed[:end]))
            except OSError as error:
                raise WriteError(f"cannot write '{self.path}' ({error.strerror}); {_ADVICE}") from error
        return damaged

    def _parsed(self) -> list[tuple[bytes, Line | None]]:
        """Every line as it is on the disk, with its content, None where it is damaged."""
        try:
            content = read_regular(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"cannot read '{self.path}' ({error.strerror}); allow reading it, or move it away"
            ) from error
        return [(text, parsed_line(text)) for text in content.splitlines(keepends=True)]


def parsed_line(text: bytes) -> Line | None:
    """The content of one line; None for a damaged one."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict) or not _count(line["images"]):
            return None
        line |= {key: _read(line[key]) for key in _MEASURED if key in line}
        kind = line.get("event") if "event" in line else "step"
        required = _REQUIRED.get(kind, {}) if isinstance(kind, str) else {"": _count}
        return line if all(fits(line[key]) for key, fits in required.items()) else None
    except (ValueError, KeyError, RecursionError):
        return None


def _read(value: Any) -> Any:
    """What `finite` was given, but for infinity, which comes back as NaN."""
    if isinstance(value, list):
        return [_read(one) for one in value]
    return math.nan if value is None else value


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _planned(value: Any) -> bool:
    return value is None or _count(value)


def _loss(value: Any) -> bool:
    return isinstance(value, float) or _count(value)


def _number(value: Any) -> bool:
    return _loss(value) and math.isfinite(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_loss, value))


_MEASURED = ("loss", "train_loss", "by_noise", "frechet_distance", "kid", "kid_stderr")
# What is read of each kind of line; "heldout" is the former name of "validation".
_VALIDATION: dict[str, Callable[[Any], bool]] = {"loss": _loss, "t": _numbers, "by_noise": _numbers}
_REQUIRED: dict[str, dict[str, Callable[[Any], bool]]] = {
    "step": {"step": _count, "loss": _loss, "images_per_second": _number, "seconds": _number},
    "epoch": {"epoch": _count, "loss": _loss},
    "validation": _VALIDATION,
    "heldout": _VALIDATION,
    "evaluation": {"count": _count, "frechet_distance": _loss},
    "budget spent": {"planned": _planned},
    "trajectories": {"count": _count},
}
