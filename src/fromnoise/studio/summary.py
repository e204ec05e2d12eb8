"""One run in a row of the table: read from the ends of its files, not from all of them."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import FromNoiseError
from fromnoise.common.files import read_regular, reason_of, tail
from fromnoise.common.stored_json import MOST_BYTES, parse_object, verified
from fromnoise.common.text import printable
from fromnoise.run.folder import RunFolder
from fromnoise.run.metrics_file import parsed_line
from fromnoise.run.migrate import migrated
from fromnoise.run.status import status_of

_TAIL, _TAIL_MOST = 16_384, 1 << 20  # bytes of metrics.jsonl that are read for a row: some fifty lines, or more
_PREVIEW = re.compile(r"preview-([0-9]{1,19})\.png")


def summary(folder: RunFolder) -> dict[str, Any]:
    """What the table shows of a run; a run that cannot be read has `error` in the place of the rest."""
    status = status_of(folder)
    row: dict[str, Any] = {
        "state": status.state,
        "message": status.message,
        "began": status.began,
        "changed": _changed(folder),
        "error": "",
    }
    try:
        about = _about(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, FromNoiseError) as error:
        reason = f"{folder.config.name} cannot be read ({reason_of(error)})"
        return {**_EMPTY, **row, "state": "failed", "error": printable(reason)}
    last = _last_lines(folder, {"step", *about.measured})
    step = last.get("step", {})
    row |= {
        "recipe": about.recipe,
        "data": about.data,
        "source": about.source,
        "images": step.get("images", 0),
        "seconds": step.get("seconds", 0.0),
        "loss": step.get("loss"),
        "speed": step.get("images_per_second"),
        "validation": last.get("validation", {}).get("loss"),
        "measures": _measures(folder, last.get("evaluation", {})),
        "preview": max(previews(folder), default=None),
    }
    row |= _plan(about, row)
    return {**_EMPTY, **row}


@dataclass(frozen=True)
class _About:
    """What a row needs of config.json."""

    recipe: str
    data: str
    source: str
    budget: float | None
    total: int
    measured: tuple[str, ...]


def _about(folder: RunFolder) -> _About:
    """A glance at config.json, which is checked in full where the run is opened. Raises where it is damaged."""
    record = migrated(verified(parse_object(read_regular(folder.config, MOST_BYTES))))
    settings, data = record["settings"], record["data"]
    train, name = settings["train"], data.get("name") or printable(str(settings["data"]["source"]))
    epochs, images = train.get("num_epochs"), train.get("num_images")
    budget = train.get("budget")
    total = images or round((epochs or 1.0) * data["count"])
    source = str(settings["data"]["source"])
    measured = {"validation": train.get("validations"), "evaluation": train.get("evaluate_every")}
    return _About(
        recipe=str(settings["recipe"]),
        data=str(name),
        source=source,
        budget=parse_duration(budget) if budget else None,
        total=int(total),
        measured=tuple(kind for kind, wanted in measured.items() if wanted),
    )


_EMPTY: dict[str, Any] = {
    "recipe": "",
    "data": "",
    "source": "",
    "images": 0,
    "seconds": 0.0,
    "loss": None,
    "speed": None,
    "validation": None,
    "measures": {},
    "preview": None,
    "done": None,
    "left": None,
}


def previews(folder: RunFolder) -> list[int]:
    """The images seen at each preview, fewest first."""
    try:
        return sorted(int(found[1]) for path in folder.samples.iterdir() if (found := _PREVIEW.fullmatch(path.name)))
    except OSError:
        return []


def _plan(about: _About, row: Mapping[str, Any]) -> dict[str, Any]:
    """done: the part of the training that is behind, left: seconds to come; None where that is not known."""
    images, seconds, speed = row["images"], row["seconds"], row["speed"]
    if row["state"] == "finished":
        return {"done": 1.0, "left": 0.0}
    if about.budget is not None:
        since = time.time() - row["changed"] if row["state"] == "training" else 0.0
        spent = min(seconds + max(0.0, since), about.budget)
        return {"done": spent / about.budget, "left": about.budget - spent}
    if not about.total:
        return {"done": None, "left": None}
    return {"done": min(1.0, images / about.total), "left": max(0, about.total - images) / speed if speed else None}


def _measures(folder: RunFolder, quick: Mapping[str, Any]) -> dict[str, Any]:
    """Fréchet distance and class accuracy: of the evaluation, or else of the last one while training."""
    try:
        content = json.loads(read_regular(folder.evaluation, 5_000_000))
        metrics, full = content["metrics"], True
        ratio = content.get("ratio_to_test")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        metrics, full, ratio = quick, False, None
    if not isinstance(metrics, Mapping) or not metrics:
        return {}
    kept = {key: _number(metrics.get(key)) for key in ("frechet_distance", "class_accuracy", "count")}
    return {**kept, "ratio_to_test": _number(ratio), "full": full}


def _number(value: Any) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if fits else None


def _changed(folder: RunFolder) -> float:
    """When the run was last written to, in seconds since 1970."""
    times = [0.0]
    for path in (folder.config, folder.metrics, folder.session):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _last_lines(folder: RunFolder, wanted: set[str]) -> dict[str, dict[str, Any]]:
    """The last line of each kind ("step", "validation", ...) among the last bytes of metrics.jsonl.

    Validations may lie far apart, so that more of it is read until all `wanted` kinds are found.
    """
    found: dict[str, dict[str, Any]] = {}
    size = _TAIL
    while size <= _TAIL_MOST:
        content = tail(folder.metrics, size)
        found = _newest(content)
        if len(content) < size or found.keys() >= wanted:
            break
        size *= 4
    return found


def _newest(content: bytes) -> dict[str, dict[str, Any]]:
    """The last line of each kind in `content`."""
    found: dict[str, dict[str, Any]] = {}
    for text in reversed(content.splitlines()):
        if b'"event"' not in text and "step" in found:
            continue
        line = parsed_line(text)
        if line is not None:
            found.setdefault(str(line.get("event", "step")).replace("heldout", "validation"), line)
    return found
