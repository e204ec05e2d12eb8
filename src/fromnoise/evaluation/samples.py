"""Samples to measure: drawn from a model by the training set's class frequencies, or made elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.labels import by_name, classes_of
from fromnoise.common.progress import report_progress
from fromnoise.model.shares import shared
from fromnoise.model.trained_model import TrainedModel


@dataclass(frozen=True)
class SampleSet:
    """uint8 images (N, C, H, W), their labels (N,) or None, and how they were sampled, for the protocol.

    conditions: the numbers that they are conditioned on, (N,) by name.
    """

    images: Tensor
    labels: Tensor | None
    sampling: Mapping[str, Any]
    conditions: Mapping[str, Tensor] = field(default_factory=dict)


def draw_samples(model: TrainedModel, num: int) -> SampleSet:
    """Samples of `model` from seeds 0 to num - 1, conditioned as the training images are distributed."""
    labels = model.labels(range(num))
    began = reported = time.perf_counter()
    pieces: list[Tensor] = []
    done = 0
    for batch in model.batches(range(num), labels):
        pieces.append(torch.from_numpy(batch.images).permute(0, 3, 1, 2).contiguous())
        done, now = done + len(batch.images), time.perf_counter()
        if done < num and (len(pieces) == shared().world or now - reported > 10):
            reported, left = now, (now - began) / done * (num - done)
            report_progress(f"sampling: {done:,} of {num:,} samples, NFE {batch.evaluations}, about {left:.0f} s left")
    seconds = float(f"{time.perf_counter() - began:.4g}")  # digits, not decimals: a few small samples take milliseconds
    classes = classes_of(labels) if labels is not None and model.spec.classes else None
    names = [one.name for one in model.spec.conditions]
    numbers = {name: torch.tensor(values) for name, values in by_name(labels, names).items()}
    return SampleSet(torch.cat(pieces), classes, _protocol(model, num, batch.evaluations, seconds), numbers)


def _protocol(model: TrainedModel, num: int, evaluations: int, seconds: float) -> dict[str, Any]:
    """How the samples were made, as plain JSON: the part `sampling` of the protocol."""
    settings = asdict(model.sampling)
    del settings["batch_size"]  # it changes nothing
    return {
        "checkpoint": model.images,
        "weights": model.weights,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()},
        "evaluations": evaluations,
        "seeds": [0, num - 1],
        "labels": "drawn with the training frequencies" if model.spec.classes else None,
        "device": model.device,
        "precision": model.dtype_name,
        "seconds": seconds,
    }
