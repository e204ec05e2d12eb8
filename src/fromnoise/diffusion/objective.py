"""The training loss: one draw of noise and times, one evaluation, one weighted squared error per image.

    loss_i = w(t_i) * mean over pixels of (out_i - target_i)^2

With `huber` = c it is the mean of sqrt(w error^2 + c^2) - c, pseudo-Huber: a squared error far below c and a distance
far above it, so that pixels with large errors do not outweigh the others and uncertain edges stay sharp.

The losses of the images stay apart: their mean is minimised, and with the times of the draw they are the curve of loss
against noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.labels import dropped
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import prediction_target
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.time_sampling import TimeDistribution
from fromnoise.diffusion.weighting import Weighting, output_weight


@dataclass(frozen=True)
class Objective:
    """What is minimised: a weighting, a distribution of times, and the chance that a label is dropped.

    Arguments:
        weighting: how much each noise level counts.
        times: at which t a network is trained.
        label_dropout: the chance that an image is shown without its class and its numbers, as guidance needs.
        huber: c of the pseudo-Huber loss; None for squared errors.

    References: Ho & Salimans 2022, algorithm 1, https://arxiv.org/abs/2207.12598
        Song & Dhariwal 2024, section 3.3, https://arxiv.org/abs/2310.14189
    """

    weighting: Weighting
    times: TimeDistribution
    label_dropout: float = 0.0
    huber: float | None = None

    def draw(
        self, process: Process, shape: tuple[int, ...], *, seed: int, step: int, device: str | torch.device = "cpu"
    ) -> TrainingNoise:
        """The randomness of training step `step`, for a global batch.

        A function of (seed, step), without state: a resumed run draws what an uninterrupted one would.

        Arguments:
            shape: (B, C, H, W) of the whole batch.
            seed: of the run.
            step: the number of the training step.
            device: where it is drawn; CPU and GPU draw other numbers from the same seed.
        """
        g = generator(seed, "training noise", step, device=device)
        eps = process.prior.sample(shape, g)
        t = self.times.sample(shape[0], process, g)
        drop_label = torch.rand(shape[0], generator=g, device=g.device) < self.label_dropout
        return TrainingNoise(eps, t, drop_label)


@dataclass(frozen=True)
class TrainingNoise:
    """The randomness of one training step: eps (B, C, H, W), t (B,), drop_label (B,) bool."""

    eps: Tensor
    t: Tensor
    drop_label: Tensor

    def part(self, slots: slice) -> TrainingNoise:
        """The draw for these images of the batch."""
        return TrainingNoise(self.eps[slots], self.t[slots], self.drop_label[slots])

    def to(self, device: str | torch.device) -> TrainingNoise:
        """The same draw on `device`; Apple's MPS has no float64, so times are float32 there."""
        t = self.t.float() if torch.device(device).type == "mps" else self.t
        return TrainingNoise(self.eps.to(device), t.to(device), self.drop_label.to(device))


@dataclass(frozen=True)
class LossTerms:
    """per_image: weighted loss (B,), at the times t of the step's noise."""

    per_image: Tensor

    def mean(self) -> Tensor:
        """The scalar that is minimised."""
        return self.per_image.mean()


def training_loss(
    denoiser: Denoiser, objective: Objective, x0: Tensor, label: Tensor | None, noise: TrainingNoise
) -> LossTerms:
    """The weighted squared error of each image.

    Arguments:
        x0: clean images (B, C, H, W), encoded to the denoiser's range.
        label: as in `fromnoise.common.labels`, or None.
        noise: noise, times and dropped labels of this step.

    Returns:
        LossTerms, whose `mean()` is the scalar to minimise.
    """
    process, prediction = denoiser.process, denoiser.prediction
    if label is not None:  # a model without classes is given none, whatever the data have
        spec = denoiser.spec
        label = dropped(label, noise.drop_label, spec.null_label) if spec.conditioned else None
    out = denoiser.predict(process.corrupt(x0, noise.eps, noise.t), noise.t, label)
    error = (out - prediction_target(prediction, process, x0, noise.eps, noise.t)).float() ** 2
    weight = output_weight(objective.weighting, prediction, process, noise.t)
    error, c = broadcast_like(weight, error) * error, objective.huber
    return LossTerms((error if c is None else (error + c**2).sqrt() - c).flatten(1).mean(1))
