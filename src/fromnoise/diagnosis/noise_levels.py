"""Denoising error by noise level: the same images and the same noise for everything that predicts x0.

    error = mean over pixels of (x0 - prediction)^2 / variance of the data    0 is perfect, 1 is that of their mean grey

Levels are equally spaced in ln SNR. The noise is from 1/20 to 20 times as strong as the image (standard deviations,
at equal brightness), as far as the process reaches: with less there is nothing to remove, with more nothing to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.common.threads import following_load
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.vp import VP

LEVELS = 10
FAINTEST, STRONGEST = 0.05, 20.0  # noise / image, in standard deviations
_UNIFORM = 1 / math.sqrt(12)  # the standard deviation of uniform noise
_BATCH = 64

X0Prediction = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x_t (B, C, H, W), t (B,), label (B,) or None) -> the prediction of x0 (B, C, H, W)."""


@dataclass(frozen=True)
class NoiseLevels:
    """times: float64 (L,), most noise first. strength: (L,), noise / image in standard deviations."""

    times: Tensor
    strength: Tensor

    def describe(self, indices: list[int]) -> str:
        """Which of high, medium and low noise the levels `indices` belong to."""
        names = {self._name(i): None for i in indices}
        return " and ".join(names) if len(names) < 3 else "all noise levels"

    def _name(self, i: int) -> str:
        strength = float(self.strength[i])
        return "high noise" if strength > 3 else "medium noise" if strength > 0.4 else "low noise"


def choose_levels(process: Process, sigma_data: float) -> NoiseLevels:
    """The levels to measure on `process` for images of standard deviation `sigma_data`, most noise first."""
    noise_std = 1.0 if process.prior.gaussian else _UNIFORM
    ratio = torch.linspace(math.log(STRONGEST), math.log(FAINTEST), LEVELS, dtype=torch.float64).exp()
    times = process.time_at_log_snr(-2 * (ratio * sigma_data / noise_std).log()).clamp(min=process.t_min)
    if isinstance(process, VP):
        times = times.round()  # the network was only trained at the entries of the table
    times = torch.unique(times).flip(0)
    alpha, sigma = process.scales(times)
    keep = alpha > 1e-4  # an eps prediction determines no x0 where no image is left
    return NoiseLevels(times[keep], (sigma * noise_std / (alpha * sigma_data))[keep])


def noise_for(process: Process, shape: tuple[int, ...], level: int) -> Tensor:
    """The noise of one level, float32 of `shape` (B, C, H, W): image i gets the same whatever B is."""
    draws = [process.prior.sample(shape[1:], generator(0, "diagnosis", level, i)) for i in range(shape[0])]
    return torch.stack(draws)


@torch.no_grad()
def denoising_errors(
    process: Process, levels: NoiseLevels, x0: Tensor, labels: Tensor | None, predict: X0Prediction
) -> Tensor:
    """Squared error of `predict`, the mean over an image's pixels: float64 (L, B), on the CPU.

    x0: float (B, C, H, W) in the model's range, on the CPU. labels: int64 (B,) or None.
    """
    errors = []
    for level, time in enumerate(levels.times):
        t = time.repeat(len(x0))
        noisy = process.corrupt(x0, noise_for(process, tuple(x0.shape), level), t)
        parts = []
        for begin in following_load(range(0, len(x0), _BATCH)):
            part = slice(begin, begin + _BATCH)
            predicted = predict(noisy[part], t[part], None if labels is None else labels[part])
            parts.append((predicted.cpu().double() - x0[part].double()).square().flatten(1).mean(1))
        errors.append(torch.cat(parts))
    return torch.stack(errors)
