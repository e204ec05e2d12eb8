"""Samplers that add noise of their own: EDM's churn, and renoising.

EDM's (Karras et al. 2022, algorithm 2) raises the noise level by a share, see `fromnoise.diffusion.samplers.churn`, and
takes Heun's step down from there.

Renoise: x_s = alpha_s x0_hat + sigma_s z, with all of the noise drawn again. A trained denoiser returns the mean, and
with it the samples have about half the variance of the data: right only for few-step models (Song et al. 2023,
consistency models, algorithm 1), and to see why one wants DDIM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler
from fromnoise.diffusion.samplers.churn import S_MAX, S_MIN, with_churn
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
    s_min: float = S_MIN
    s_max: float = S_MAX
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
        within = (self.s_min, self.s_max)
        x, t = with_churn(process, x, t, self.churn, noise, s_noise=self.s_noise, within=within)
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
