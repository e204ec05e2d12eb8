"""Denoising error by noise level: of the network with each of its weights, and of baselines without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.diagnosis.baselines import linear_filter, look_up
from fromnoise.diagnosis.images import DiagnosisImages, LabelledImages, data_deviation
from fromnoise.diagnosis.noise_levels import NoiseLevels, X0Prediction, denoising_errors
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.model.trained_model import TrainedModel


@dataclass(frozen=True)
class DenoisingCurves:
    """Errors in units of the data's variance, float64 (L, N), on the same N images with the same noise.

    Arguments:
        levels: the L noise levels.
        models: errors by weights: "ema", "raw" or another average.
        baselines: errors of "linear filter" and, for normal noise, "look-up".
        training: errors of the chosen weights on training images; None without held-out images.
    """

    levels: NoiseLevels
    models: Mapping[str, Tensor]
    baselines: Mapping[str, Tensor]
    training: Tensor | None

    @property
    def images(self) -> int:
        """How many images were denoised."""
        return next(iter(self.models.values())).shape[1]

    @property
    def reference(self) -> Tensor:
        """The lower mean error of the baselines at each level, float64 (L,)."""
        least = torch.stack([errors.mean(1) for errors in self.baselines.values()]).min(0).values
        return least.clamp(min=1e-12)  # images that are all the same leave no error

    def to_json(self) -> dict[str, list[float]]:
        """The times, the strengths of the noise, and the mean errors by name."""
        means = {name: errors.mean(1).tolist() for name, errors in {**self.models, **self.baselines}.items()}
        return {"time": self.levels.times.tolist(), "strength": self.levels.strength.tolist(), **means}


def denoising_curves(
    models: Mapping[str, TrainedModel],
    weights: str,
    levels: NoiseLevels,
    images: DiagnosisImages,
    record: TrainingRecord,
) -> DenoisingCurves:
    """Measure the denoising error of `models` (by weights), and of those of `weights` on training images as well."""
    process, spec = models[weights].process, record.spec
    variance = data_deviation(record) ** 2

    def measure(predict: X0Prediction, those: LabelledImages) -> Tensor:
        return denoising_errors(process, levels, spec.encode(those.images), those.labels, predict).div(variance)

    known = spec.encode(images.statistics)
    baselines = {"linear filter": linear_filter(process, known), "look-up": look_up(process, known)}
    return DenoisingCurves(
        levels,
        {name: measure(one_step_prediction(model), images.test) for name, model in models.items()},
        {name: measure(predict, images.test) for name, predict in baselines.items() if predict},
        None if images.training is None else measure(one_step_prediction(models[weights]), images.training),
    )


def one_step_prediction(model: TrainedModel) -> X0Prediction:
    """The x0 prediction of `model` as a function of CPU tensors."""

    def predict(xt: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        there = None if label is None else label.to(model.device)
        x0: Tensor = model.denoiser(xt.to(model.device), t, there).x0
        return x0

    return predict


def geometric_ratio(first: Tensor, second: Tensor) -> float:
    """How many times larger `first` is than `second`, both (L,): the geometric mean over levels."""
    return float((first.clamp(min=1e-12) / second.clamp(min=1e-12)).log().mean().exp())
