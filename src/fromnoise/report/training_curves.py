"""metrics.jsonl as curves: the loss, the validation loss by noise level, and the evaluations during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fromnoise.figures.curves import lines, loss_curve

MetricsLines = Sequence[Mapping[str, Any]]
"""The lines of metrics.jsonl: one every few steps, and events."""


def training_curves(metrics: MetricsLines) -> dict[str, Any]:
    """Figures by name from the lines of metrics.jsonl; what was never measured is left out."""
    validations, evaluations = _events(metrics, "validation", "heldout"), _events(metrics, "evaluation")
    return {**_loss(metrics, validations), **_by_noise(validations), **_progress(evaluations)}


def _events(metrics: MetricsLines, *names: str) -> MetricsLines:
    """The events of these names; older runs called validations "heldout"."""
    return [line for line in metrics if line.get("event") in names]


def _loss(metrics: MetricsLines, validations: MetricsLines) -> dict[str, Any]:
    curve = [(line["images"], line["loss"]) for line in metrics if "step" in line]
    if not curve:
        return {}
    seen, losses = zip(*curve, strict=True)
    validation = ([line["images"] for line in validations], [line["loss"] for line in validations])
    epochs = [line["images"] for line in _events(metrics, "epoch")]
    return {"loss": loss_curve(seen, losses, epoch_marks=epochs, validation=validation)}


def _by_noise(validations: MetricsLines) -> dict[str, Any]:
    """The validation loss in bins of the time: the first measurement, one in the middle, the last."""
    if len(validations) < 2:
        return {}
    chosen = [validations[i] for i in sorted({0, len(validations) // 2, len(validations) - 1})]
    series = {f"after {line['images']:,} images": (line["t"], line["by_noise"]) for line in chosen}
    return {"loss-by-noise": lines(series, "noise level t", "validation loss", "Validation loss by noise level")}


def _progress(evaluations: MetricsLines) -> dict[str, Any]:
    """The Fréchet distance of the evaluations during training, over images seen."""
    if len(evaluations) < 2:
        return {}
    points = [[line[key] for line in evaluations] for key in ("images", "frechet_distance")]
    title = f"Fréchet distance of {evaluations[-1]['count']:,} samples"
    return {"progress": lines({title: (points[0], points[1])}, "images seen", "Fréchet distance", title)}
