"""The training loss: one draw of noise and times, one evaluation, one weighted squared error per image.

    loss_i = w(t_i) * mean over pixels of (out_i - target_i)^2

With `huber` = c it is the mean of sqrt(w error^2 + c^2) - c, pseudo-Huber: a squared error far below c and a distance
far above it, so that pixels with large errors do not outweigh the others and uncertain edges stay sharp.

A network that takes the guidance scale w as an input learns the guided prediction itself. With w drawn for each image,
and sg what no gradient passes,

    loss_i = w(t_i) * mean over pixels of (out_i(w) - (w - 1) sg[out_i(1) - out_i(no class)] - target_i)^2

whose mean is least where out(w) = out(no class) + w (out(1) - out(no class)), as out(1) and out(no class) become the
means of the target. It holds for every prediction: at one x_t and t, output and x0 follow from each other by a straight
line, whose offset the difference in brackets does not contain. Where w = 1, as for images without their class, it is
the loss above. The form b out(w) + (1 - b) sg[out(no class)] - target with b = 1 / w has the same optimum and saves an
evaluation, but its gradient has w times the noise, and a network learned less of guidance by it.

The losses of the images stay apart: their mean is minimised, and with the times of the draw they are the curve of loss
against noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.image_spec import GuidanceInput
from fromnoise.common.labels import dropped, unconditional, with_guidance
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import prediction_target
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.time_sampling import TimeDistribution
from fromnoise.diffusion.weighting import Weighting, output_weight

GUIDED = 0.5  # share of the images that are trained with guidance, of those that keep their class at its times


@dataclass(frozen=True)
class Objective:
    """What is minimised: a weighting, a distribution of times, and the chance that a label is dropped.

    Arguments:
        weighting: how much each noise level counts.
        times: at which t a network is trained.
        label_dropout: the chance that an image is shown without its class and its numbers, as guidance needs.
        huber: c of the pseudo-Huber loss; None for squared errors.
        guidance: the scales that the network learns to take as an input; None for none.

    References: Ho & Salimans 2022, algorithm 1, https://arxiv.org/abs/2207.12598
        Song & Dhariwal 2024, section 3.3, https://arxiv.org/abs/2310.14189
        Chen et al. 2025, guidance-free training, https://arxiv.org/abs/2501.15420
        Tang et al. 2025, model guidance, https://arxiv.org/abs/2502.12154
    """

    weighting: Weighting
    times: TimeDistribution
    label_dropout: float = 0.0
    huber: float | None = None
    guidance: GuidanceInput | None = None

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

        Raises:
            UsageError: for times that make no sense on `process`.
        """
        self.times.check(process)
        g = generator(seed, "training noise", step, device=device)
        eps = process.prior.sample(shape, g)
        t = self.times.sample(shape[0], process, g)
        drop_label = torch.rand(shape[0], generator=g, device=g.device) < self.label_dropout
        if self.guidance is None:
            return TrainingNoise(eps, t, drop_label)
        low, high = self.guidance.interval or (float("-inf"), float("inf"))
        scale = 1 + (self.guidance.most - 1) * torch.rand(shape[0], generator=g, device=g.device)
        acts = torch.rand(shape[0], generator=g, device=g.device) < GUIDED
        acts &= (t >= low) & (t <= high) & ~drop_label
        return TrainingNoise(eps, t, drop_label, torch.where(acts, scale, 1.0))


@dataclass(frozen=True)
class TrainingNoise:
    """The randomness of one training step: eps (B, C, H, W), t (B,), drop_label (B,) bool.

    scale: of guidance (B,), for a network that takes it as an input; None for others.
    """

    eps: Tensor
    t: Tensor
    drop_label: Tensor
    scale: Tensor | None = None

    def part(self, slots: slice) -> TrainingNoise:
        """The draw for these images of the batch."""
        scale = None if self.scale is None else self.scale[slots]
        return TrainingNoise(self.eps[slots], self.t[slots], self.drop_label[slots], scale)

    def to(self, device: str | torch.device) -> TrainingNoise:
        """The same draw on `device`; Apple's MPS has no float64, so times are float32 there."""
        t = self.t.float() if torch.device(device).type == "mps" else self.t
        scale = None if self.scale is None else self.scale.to(device)
        return TrainingNoise(self.eps.to(device), t.to(device), self.drop_label.to(device), scale)


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
    if label is not None:  # a model without classes is given none, whatever the data have
        spec = denoiser.spec
        label = dropped(label, noise.drop_label, spec.null_label) if spec.conditioned else None
    xt = denoiser.process.corrupt(x0, noise.eps, noise.t)
    if label is None or noise.scale is None:
        out = denoiser.predict(xt, noise.t, label)
    else:
        scaled = with_guidance(label, noise.scale, len(denoiser.spec.conditions))
        out = _unguided(denoiser, denoiser.predict(xt, noise.t, scaled), xt, noise.t, label, noise.scale)
    return LossTerms(output_loss(denoiser, objective, out, x0, noise))


def output_loss(denoiser: Denoiser, objective: Objective, out: Tensor, x0: Tensor, noise: TrainingNoise) -> Tensor:
    """The weighted error (B,) of the network's outputs `out` (B, C, H, W); the others as for `training_loss`."""
    process, prediction = denoiser.process, denoiser.prediction
    error = (out - prediction_target(prediction, process, x0, noise.eps, noise.t)).float() ** 2
    weight = output_weight(objective.weighting, prediction, process, noise.t)
    error, c = broadcast_like(weight, error) * error, objective.huber
    return (error if c is None else (error + c**2).sqrt() - c).flatten(1).mean(1)


def _unguided(denoiser: Denoiser, out: Tensor, xt: Tensor, t: Tensor, label: Tensor, scale: Tensor) -> Tensor:
    """out - (w - 1) sg[out(1) - out(no class)] for the guidance scales w = `scale` (B,) that `out` was made with."""
    fixed = out.is_cuda or hasattr(denoiser.net, "_orig_mod")  # a step that is captured or compiled has one shape
    rows = slice(None) if fixed else (scale > 1).nonzero()[:, 0]
    more = torch.zeros_like(out)
    xt, t, label = xt[rows], t[rows], label[rows]
    if len(t):
        with torch.no_grad():
            pair = torch.cat([label, unconditional(label, denoiser.spec.null_label)])
            own, none = denoiser.predict(torch.cat([xt, xt]), torch.cat([t, t]), pair).chunk(2)
        more[rows] = broadcast_like(scale[rows] - 1, own) * (own - none)
    return out - more
