"""Samples for a run and a denoiser: what the verbs use until they take a TrainedModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.samplers.loop import Step
from fromnoise.model.labels import draw_labels
from fromnoise.model.samples import Samples
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions


def model_of(run: Any, denoiser: Denoiser, options: SampleOptions) -> TrainedModel:
    """A model around `denoiser` that samples with `options`."""
    return TrainedModel(denoiser, options, tuple(run.label_counts), guide=run.guide_denoiser)


def labels_asked(seeds: Sequence[int], label: str | int | None, spec: ImageSpec, counts: Sequence[int]) -> Any:
    """See `TrainedModel.labels`."""
    from fromnoise.model.labels import label_number

    if label is not None:
        import torch

        return torch.full((len(seeds),), label_number(label, spec))
    return draw_labels(seeds, counts) if spec.classes else None


def walk(
    run: Any, denoiser: Denoiser, seeds: Sequence[int], labels: Tensor | None, options: SampleOptions
) -> Iterator[Step]:
    """See `TrainedModel.steps`."""
    return model_of(run, denoiser, options).steps(seeds, labels)


def make(
    run: Any,
    denoiser: Denoiser,
    seeds: Sequence[int],
    labels: Tensor | None,
    options: SampleOptions,
    keep_steps: bool = False,
) -> Samples:
    """See `TrainedModel.sample_labelled`."""
    return model_of(run, denoiser, options).sample_labelled(seeds, labels, keep_steps)
