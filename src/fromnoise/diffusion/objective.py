"""The training loss: one draw of noise and times, one evaluation, one weighted squared error per image.

    loss_i = w(t_i) * mean over pixels of (out_i - target_i)^2

The per-image losses are kept with their times: the same tensor is the scalar that is minimised and the curve
of loss against noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import target
from fromnoise.diffusion.process import Process, bcast
from fromnoise.diffusion.time_sampling import Times
from fromnoise.diffusion.weighting import Weighting, output_weight


@dataclass(frozen=True)
class Objective:
    """What is minimised. label_dropout: the chance that an image is shown without its class (for guidance)."""

    weighting: Weighting
    times: Times
    label_dropout: float = 0.0


@dataclass(frozen=True)
class Draw:
    """The randomness of one step, for the whole batch: eps (B, C, H, W), t (B,), drop (B,) bool."""

    eps: Tensor
    t: Tensor
    drop: Tensor

    def to(self, device: str | torch.device) -> Draw:
        """The same draw on `device`; Apple's MPS has no float64, so times are float32 there."""
        t = self.t.float() if torch.device(device).type == "mps" else self.t
        return Draw(self.eps.to(device), t.to(device), self.drop.to(device))


@dataclass(frozen=True)
class LossTerms:
    """per_image: weighted loss (B,); t: the times they were met at (B,)."""

    per_image: Tensor
    t: Tensor

    def mean(self) -> Tensor:
        """The scalar that is minimised."""
        return self.per_image.mean()


def draw(
    objective: Objective,
    process: Process,
    shape: tuple[int, ...],
    seed: int,
    step: int,
    device: str | torch.device = "cpu",
) -> Draw:
    """The randomness of training step `step` for a global batch of `shape` (B, C, H, W): a function, no state."""
    g = generator(seed, "training noise", step, device=device)
    eps = process.prior.sample(shape, g)
    t = objective.times.draw(shape[0], process, g)
    drop = torch.rand(shape[0], generator=g, device=g.device) < objective.label_dropout
    return Draw(eps, t, drop)


def training_loss(denoiser: Denoiser, objective: Objective, x0: Tensor, label: Tensor | None, draw: Draw) -> LossTerms:
    """Loss per image for clean images x0 (B, C, H, W) and labels (B,) or None, with the randomness of `draw`."""
    process, prediction = denoiser.process, denoiser.prediction
    if label is not None:  # a model without classes is not told any, whatever the data have
        label = torch.where(draw.drop, denoiser.spec.null_label, label) if denoiser.spec.classes else None
    out = denoiser.raw(process.corrupt(x0, draw.eps, draw.t), draw.t, label)
    error = (out - target(prediction, process, x0, draw.eps, draw.t)).float() ** 2
    weight = output_weight(objective.weighting, prediction, process, draw.t)
    return LossTerms((bcast(weight, error) * error).flatten(1).mean(1), draw.t)
