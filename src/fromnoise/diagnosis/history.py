"""What training itself wrote down: steps without a finite loss, a loss that rose, a plan that was cut short."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fromnoise.diagnosis.context import Case
from fromnoise.diagnosis.finding import Finding
from fromnoise.train.checkpoint import read_state
from fromnoise.train.checkpoint_files import read_checkpoint

_FEWEST_LINES = 30  # of a history that can be said to rise
_RISE, _STANDARD_ERRORS = 1.15, 4.0


def history(case: Case) -> list[Finding]:
    """Findings about the course of training; one that all was well where nothing else is said."""
    lines = [line for line in case.run.folder.read_metrics() if "step" in line]
    newest = case.run.newest_checkpoint()
    state = read_state(read_checkpoint(newest)) if newest else {}
    found = [_not_finite(lines, state), _rise(lines), _cut(case, state)]
    return [f for f in found if f] or [_well(lines)]


def _well(lines: list[dict[str, Any]]) -> Finding:
    says = "Every loss was a finite number, none rose at the end, and training went to the end of its plan."
    if lines:
        says += f" The last loss was {lines[-1]['loss']:.4g}."
    return Finding("history", "good", says)


def _not_finite(lines: list[dict[str, Any]], state: dict[str, Any]) -> Finding | None:
    bad = [line for line in lines if not math.isfinite(line["loss"])]
    skipped = int(state.get("skipped", 0))
    if not bad and not skipped:
        return None
    first = f", first after {bad[0]['images']:,} images" if bad else ""
    says = (
        f"The loss was not a finite number in {len(bad):,} of {len(lines):,} lines of metrics.jsonl{first}, and "
        f"{skipped:,} steps were skipped for it: training was close to breaking."
    )
    do = "train again into a new folder with half the --learning_rate, or with --mixed_precision no"
    return Finding("history", "fault", says, do, {"lines": len(bad), "skipped": skipped})


def _rise(lines: list[dict[str, Any]]) -> Finding | None:
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
    says = (
        f"The loss rose at the end: {last.mean():.4g} in the last tenth of training, after {means[lowest]:.4g} before."
    )
    do = "sample an older --checkpoint, or train again with a lower --learning_rate and --lr_schedule cosine"
    numbers = {"last": float(last.mean()), "lowest": float(means[lowest])}
    return Finding("history", "fault", says, do, numbers)


def _cut(case: Case, state: dict[str, Any]) -> Finding | None:
    """A plan that was not carried out: a budget spent before its end, or training that was stopped."""
    events = [line for line in case.run.folder.read_metrics() if line.get("event") == "budget spent"]
    images = int(state.get("images", 0))
    planned = int((events[-1]["planned"] if events else state.get("total")) or 0)
    if planned <= images:
        return None
    why = "the time budget was spent" if events else "training was stopped"
    says = (
        f"Training ended at {images:,} of {planned:,} planned images ({100 * images / planned:.0f} %), since {why}: "
        "the learning rate had not come down to its end."
    )
    do = "train anew with a larger --budget" if events else "give the same `fromnoise train` command again to go on"
    return Finding("history", "worth knowing", says, do, {"images": images, "planned": planned})
