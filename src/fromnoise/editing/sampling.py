"""How an edit samples: from a noisy or an inverted image, a part of the way, in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.denoiser import Estimator
from fromnoise.diffusion.guidance import BoundedNoise
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.model.build import build_sampling
from fromnoise.model.trained_model import TrainedModel

LEAST_STEPS = 20  # unless steps are requested: edits take a part of the steps, or invert, where few are too coarse


@dataclass(frozen=True)
class EditSampling:
    """The estimator, sampler and times of an edit; labels (N,) or None; the device, and how many images at once."""

    estimator: Estimator
    sampler: Sampler
    grid: Tensor
    labels: Tensor | None
    device: str
    batch_size: int

    @classmethod
    def of(cls, model: TrainedModel, labels: Tensor | None) -> EditSampling:
        """As `model` samples."""
        parts = build_sampling(model.sampling, model.denoiser, model.guide_denoiser())
        return cls(*parts, labels, model.device, model.sampling.batch_size)

    @classmethod
    def inverting(cls, model: TrainedModel, labels: Tensor | None) -> EditSampling:
        """As `model` samples, up and down one path: where x0 itself is predicted, it needs a bounded noise estimate."""
        plain = cls.of(model, labels)
        exact = not isinstance(model.denoiser.prediction, X0)
        return plain if exact else replace(plain, estimator=BoundedNoise(plain.estimator))

    def arguments(self, part: slice) -> dict[str, Any]:
        """The keyword arguments of `diffusion.editing` that every edit of the images in `part` takes."""
        label = None if self.labels is None else self.labels[part]
        return {"sampler": self.sampler, "grid": self.grid, "label": label, "device": self.device}


def partial_sampling(model: TrainedModel, requested: Mapping[str, Any]) -> TrainedModel:
    """`model` with at least 20 steps, unless `requested` has its own number of them."""
    if "steps" in requested or "," in model.sampling.grid:
        return model
    return replace(model, sampling=replace(model.sampling, steps=max(model.sampling.steps, LEAST_STEPS)))


def inverting(model: TrainedModel, requested: Mapping[str, Any]) -> TrainedModel:
    """`model` without guidance; UsageError where guidance is among the `requested` settings."""
    options = model.sampling
    guidance = "guidance_scale" in requested and options.guidance_scale != 1
    if guidance or requested.get("guide_checkpoint") is not None:
        raise UsageError(
            "guidance was requested, but images are inverted without it, since the way back does not undo it; leave it "
            "out"
        )
    plain = replace(options, guidance_scale=1.0, autoguidance_scale=1.0, guide_checkpoint=None)
    if options.churn and not {"sampler", "churn"} & set(requested):  # what adds noise has no way back
        plain = replace(plain, sampler="unipc_2", churn=None)
    return replace(model, sampling=plain)
