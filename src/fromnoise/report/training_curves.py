"""What metrics.jsonl tells, drawn: the loss, the loss by noise level, and how quick evaluations went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fromnoise.figures.curves import lines, loss_curve

Lines = Sequence[dict[str, Any]]


def curves(read: Lines) -> dict[str, Any]:
    """Figures by name from the lines of metrics.jsonl; what was never measured is left out."""
    return {**_loss(read), **_by_noise(_validations(read)), **_progress(_events(read, "evaluation"))}


def _events(read: Lines, name: str) -> Lines:
    return [line for line in read if line.get("event") == name]


def _loss(read: Lines) -> dict[str, Any]:
    curve = [(line["images"], line["loss"]) for line in read if "step" in line]
    if not curve:
        return {}
    seen, losses = zip(*curve, strict=True)
    validations = _validations(read)
    held_out = ([line["images"] for line in validations], [line["loss"] for line in validations])
    epochs = [line["images"] for line in _events(read, "epoch")]
    return {"loss": loss_curve(seen, losses, epoch_marks=epochs, held_out=held_out)}


def _validations(read: Lines) -> Lines:
    """The events of validation losses; older runs named them "heldout"."""
    return [line for line in read if line.get("event") in ("validation", "heldout")]


def _by_noise(validations: Lines) -> dict[str, Any]:
    """The validation loss in bins of the time: the first measurement, one in the middle, the last."""
    if len(validations) < 2:
        return {}
    chosen = [validations[i] for i in sorted({0, len(validations) // 2, len(validations) - 1})]
    series = {f"after {line['images']:,} images": (line["t"], line["by_noise"]) for line in chosen}
    return {"loss-by-noise": lines(series, "noise level t", "validation loss", "Loss by noise level")}


def _progress(evaluations: Lines) -> dict[str, Any]:
    """The Frechet distance of quick evaluations over images seen."""
    if len(evaluations) < 2:
        return {}
    points = [[line[key] for line in evaluations] for key in ("images", "frechet_distance")]
    about = f"Frechet distance of {evaluations[-1]['count']:,} samples"
    return {"progress": lines({about: (points[0], points[1])}, "images seen", "Frechet distance", about)}
