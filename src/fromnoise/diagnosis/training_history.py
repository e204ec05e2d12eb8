"""The course of training: steps without a finite loss, a loss that rose, a plan that was cut short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fromnoise.diagnosis.finding import Finding
from fromnoise.diagnosis.training_record import TrainingRecord

_FEWEST_LINES = 30  # from which a rise is measured
_RISE, _STANDARD_ERRORS = 1.15, 4.0


Line = Mapping[str, Any]


def training_history(record: TrainingRecord) -> list[Finding]:
    """Findings about the course of training; a single "ok" where nothing went wrong."""
    lines = [line for line in record.metrics if "step" in line]
    findings = [_not_finite(lines, record.state), _rise(lines), _cut(record)]
    return [finding for finding in findings if finding] or [_ok(lines)]


def _ok(lines: Sequence[Line]) -> Finding:
    if not lines:
        return Finding("history", "ok", "Not checked: the losses of training were not kept.")
    message = "Every loss was finite, the loss did not rise at the end, and training completed its plan."
    return Finding("history", "ok", f"{message} The last loss was {lines[-1]['loss']:.4g}.")


def _not_finite(lines: Sequence[Line], state: Mapping[str, Any]) -> Finding | None:
    bad = [line for line in lines if not math.isfinite(line["loss"])]
    skipped = int(state.get("skipped", 0))
    if not bad and not skipped:
        return None
    first = f", first after {bad[0]['images']:,} images" if bad else ""
    message = (
        f"The loss was not finite in {len(bad):,} of {len(lines):,} lines of metrics.jsonl{first}, and {skipped:,} "
        "steps were skipped for it: training was close to divergence."
    )
    advice = "train again into a new folder with half the --learning_rate, or with --mixed_precision no"
    return Finding("history", "error", message, advice, {"lines": len(bad), "skipped": skipped})


def _rise(lines: Sequence[Line]) -> Finding | None:
    """The last tenth of the losses against the lowest tenth before it."""
    losses = np.array([line["loss"] for line in lines if math.isfinite(line["loss"])])
    size = len(losses) // 10
    if len(losses) < _FEWEST_LINES:
        return None
    tenths = losses[-10 * size :].reshape(10, size)
    means, last = tenths[:-1].mean(1), tenths[-1]
    lowest = int(means.argmin())
    noise = math.hypot(float(last.std()), float(tenths[lowest].std())) / math.sqrt(size)
    rise = float(last.mean() - means[lowest])
    if last.mean() < _RISE * means[lowest] or rise < _STANDARD_ERRORS * noise:
        return None
    message = (
        f"The loss rose at the end: {last.mean():.4g} in the last tenth of training, after {means[lowest]:.4g} before."
    )
    advice = "sample an older --checkpoint, or train again with a lower --learning_rate and --lr_schedule cosine"
    numbers = {"last": float(last.mean()), "lowest": float(means[lowest])}
    return Finding("history", "error", message, advice, numbers)


def _cut(record: TrainingRecord) -> Finding | None:
    """A plan that was not completed: a time budget reached before its end, or training that was stopped."""
    events = [line for line in record.metrics if line.get("event") == "budget spent"]
    images = int(record.state.get("images", 0))
    planned = int((events[-1]["planned"] if events else record.state.get("total")) or 0)
    if planned <= images:
        return None
    reason = "the time budget was reached" if events else "training was stopped"
    message = (
        f"Training ended after {images:,} of {planned:,} planned images ({100 * images / planned:.0f} %), because "
        f"{reason}: the learning rate had not decayed to its end."
    )
    advice = (
        "begin again with a larger --budget, into a new --output_dir"
        if events
        else "continue with `fromnoise train --resume RUN`, or with the command that began it"
    )
    return Finding("history", "warning", message, advice, {"images": images, "planned": planned})
