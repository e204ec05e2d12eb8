"""Errors by noise level: the same images and the same noise, asked of everything that can guess the clean image.

    error = mean over pixels of (x0 - guess)^2 / variance of the data      0 is perfect, 1 is the mean picture's

Levels are equally spaced in ln SNR. The noise is from 1/20 to 20 times as strong as the image (standard deviations,
at equal brightness), as far as the process reaches: with less there is nothing to do, with more nothing to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.vp import VP

LEVELS = 10
FAINTEST, STRONGEST = 0.05, 20.0  # noise beside image, in standard deviations
_UNIFORM = 1 / math.sqrt(12)  # the standard deviation of uniform noise
_AT_ONCE = 64

Guess = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x_t (B, C, H, W), t (B,), label (B,) or None) -> the guess at x0 (B, C, H, W)."""


@dataclass(frozen=True)
class Levels:
    """Times float64 (L,), falling noise; strength (L,): noise beside image, in standard deviations."""

    times: Tensor
    strength: Tensor

    def words(self, chosen: list[int]) -> str:
        """Which of high, middle and little noise the levels `chosen` belong to."""
        names = {self._name(i): None for i in chosen}
        return " and ".join(names) if len(names) < 3 else "all noise levels"

    def _name(self, i: int) -> str:
        strength = float(self.strength[i])
        return "high noise" if strength > 3 else "middle noise" if strength > 0.4 else "little noise"


def choose_levels(process: Process, sigma_data: float) -> Levels:
    """The levels to look at on `process` for images of standard deviation `sigma_data`, most noise first."""
    spread = 1.0 if process.prior.gaussian else _UNIFORM
    ratio = torch.linspace(math.log(STRONGEST), math.log(FAINTEST), LEVELS, dtype=torch.float64).exp()
    times = process.time_at_log_snr(-2 * (ratio * sigma_data / spread).log()).clamp(min=process.t_min)
    if isinstance(process, VP):
        times = times.round()  # a network of the table was never asked between its entries
    times = torch.unique(times).flip(0)
    alpha, sigma = process.scales(times)
    keep = alpha > 1e-4  # a network that says the noise cannot be read where no image is left
    return Levels(times[keep], (sigma * spread / (alpha * sigma_data))[keep])


def noise_for(process: Process, shape: tuple[int, ...], level: int) -> Tensor:
    """The noise of one level, float32 of `shape` (B, C, H, W): image i gets the same whatever B is."""
    draws = [process.prior.sample(shape[1:], generator(0, "diagnosis", level, i)) for i in range(shape[0])]
    return torch.stack(draws)


@torch.no_grad()
def errors(process: Process, levels: Levels, x0: Tensor, labels: Tensor | None, guess: Guess) -> Tensor:
    """Squared error of `guess`, the mean over an image's pixels: float64 (L, B), on the CPU.

    x0: float (B, C, H, W) in the model's range, on the CPU. labels: int64 (B,) or None.
    """
    found = []
    for level, time in enumerate(levels.times):
        t = time.repeat(len(x0))
        noisy = process.corrupt(x0, noise_for(process, tuple(x0.shape), level), t)
        parts = []
        for begin in range(0, len(x0), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            said = guess(noisy[part], t[part], None if labels is None else labels[part])
            parts.append((said.cpu().double() - x0[part].double()).square().flatten(1).mean(1))
        found.append(torch.cat(parts))
    return torch.stack(found)
