"""Samplers that add noise of their own: EDM's churn, and renoising.

Churn (Karras et al. 2022, algorithm 2), in noise levels r = sigma / alpha, y = x / alpha: raise the level by a share,
then Heun down from there.

    r+ = (1 + churn) r_t,   y+ = y + noise sqrt(r+^2 - r_t^2) z,   then Heun from r+ to r_s

Renoise: x_s = alpha_s x0_hat + sigma_s z, all the noise anew. With a denoiser that answers with the mean, as every
trained one does, what it makes has about half the variance it should have: right only for few-step models (Song et
al. 2023, consistency models, algorithm 1), and to see why one wants DDIM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import Ask, Carry, Fresh, Sampler
from fromnoise.diffusion.samplers.euler import Heun


@dataclass(frozen=True)
class EDMStochastic(Sampler):
    """EDM's stochastic sampler. churn: S_churn / steps, at most sqrt(2) - 1; between levels `low` and `high` only."""

    churn: float = 0.1
    noise: float = 1.003
    low: float = 0.05
    high: float = 50.0
    order = 2
    evaluations: ClassVar[int] = 2
    own: ClassVar[str] = "t"
    paper: ClassVar[str] = "Karras et al. 2022, algorithm 2"

    @property
    def stochastic(self) -> bool:
        """Whether churn is above 0; without it this is Heun."""
        return self.churn > 0

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """Up in noise, then Heun down: two evaluations, both after the noise was added."""
        level = math.exp(-float(process.log_snr(t[:1])) / 2)
        raised = level * (1 + min(self.churn, math.sqrt(2) - 1))
        if self.stochastic and self.low <= level <= self.high:
            up = process.time_at_log_snr(torch.full_like(t, -2 * math.log(raised)))
            if float(up[0]) < process.t_max:
                keep, alpha = process.scales(up)[0] / process.scales(t)[0], process.scales(up)[0]
                added = self.noise * alpha * math.sqrt(raised**2 - level**2)
                x, t = broadcast_like(keep, x) * x + broadcast_like(added, x) * fresh(), up
        return Heun().step(ask, process, x, t, s, None, fresh)


@dataclass(frozen=True)
class Renoise(Sampler):
    """Fresh noise on each guess; for any prior, as the noise is drawn from it."""

    biased: ClassVar[bool] = True
    paper: ClassVar[str] = "Song et al. 2023 (consistency models)"

    @property
    def stochastic(self) -> bool:
        """Always."""
        return True

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, and the guess corrupted anew to s."""
        estimate = ask(x, t)
        if float(s[0]) == 0:
            return estimate.x0, estimate, None
        return process.corrupt(estimate.x0, fresh(), s), estimate, None

    def check(self, process: Process) -> None:
        """Nothing to refuse: the noise is the prior's own."""
