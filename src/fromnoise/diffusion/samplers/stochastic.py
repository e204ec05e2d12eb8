"""Samplers that add noise of their own: EDM's churn, and renoising.

Churn (Karras et al. 2022, algorithm 2), in noise levels r = sigma / alpha, y = x / alpha: raise the level by a share,
then Heun down from there.

    r+ = (1 + churn) r_t,   y+ = y + s_noise sqrt(r+^2 - r_t^2) z,   then Heun from r+ to r_s

Renoise: x_s = alpha_s x0_hat + sigma_s z, with all of the noise drawn again. A trained denoiser returns the mean, and
with it the samples have about half the variance of the data: right only for few-step models (Song et al. 2023,
consistency models, algorithm 1), and to see why one wants DDIM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler
from fromnoise.diffusion.samplers.euler import Heun


@dataclass(frozen=True)
class EDMStochastic(Sampler):
    """EDM's stochastic sampler: the noise level is raised by a share before each of Heun's steps.

    Arguments:
        churn: S_churn / steps, at most sqrt(2) - 1.
        s_noise: the standard deviation of what is added, over that of the level's rise.
        s_min: the lowest noise level that is raised.
        s_max: the highest.

    References: Karras et al. 2022, algorithm 2, https://arxiv.org/abs/2206.00364
    """

    churn: float = 0.1
    s_noise: float = 1.003
    s_min: float = 0.05
    s_max: float = 50.0
    order = 2
    evaluations: ClassVar[int] = 2
    step_variable: ClassVar[str] = "t"
    paper: ClassVar[str] = "Karras et al. 2022, algorithm 2"

    @property
    def stochastic(self) -> bool:
        """Whether churn is above 0; without it this is Heun."""
        return self.churn > 0

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """Up in noise, then Heun down: two evaluations, both after the noise was added."""
        level = math.exp(-float(process.log_snr(t[:1])) / 2)
        raised = level * (1 + min(self.churn, math.sqrt(2) - 1))
        if self.stochastic and self.s_min <= level <= self.s_max:
            up = process.time_at_log_snr(torch.full_like(t, -2 * math.log(raised)))
            if float(up[0]) < process.t_max:
                keep, alpha = process.scales(up)[0] / process.scales(t)[0], process.scales(up)[0]
                added = self.s_noise * alpha * math.sqrt(raised**2 - level**2)
                x, t = broadcast_like(keep, x) * x + broadcast_like(added, x) * noise(), up
        return Heun().step(estimate, process, x, t, s, None, noise)


@dataclass(frozen=True)
class Renoise(Sampler):
    """Fresh noise on each x0 prediction; for any prior, as the noise is drawn from it.

    References: Song et al. 2023, consistency models, algorithm 1, https://arxiv.org/abs/2303.01469
    """

    biased: ClassVar[bool] = True
    paper: ClassVar[str] = "Song et al. 2023 (consistency models)"

    @property
    def stochastic(self) -> bool:
        """Always."""
        return True

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, and its x0 corrupted to s."""
        here = estimate(x, t)
        if float(s[0]) == 0:
            return here.x0, here, None
        return process.corrupt(here.x0, noise(), s), here, None

    def check(self, process: Process) -> None:
        """Nothing to refuse: the noise is the prior's own."""
