"""DDIM, and with eta = 1 DDPM's ancestral step; on a linear path the chapter's own sampler.

    x_s = transfer(x_t, x0_hat, t -> s)                                                  eta = 0

With noise (Song et al. 2021, eq. 16, in alpha and sigma):

    tau^2 = eta^2 (sigma_s / sigma_t)^2 (sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2)
    x_s   = alpha_s x0_hat + sqrt(sigma_s^2 - tau^2) eps_hat + tau z

On Linear(Uniform()) and a uniform grid, eta = 0 is  x = x (1 - m) + x0_hat m  with m = 1 / (n - i). In noise levels
r = sigma / alpha, eta = 1 is Euler to sqrt(r_s^2 - r_up^2) and then r_up of fresh noise, r_up^2 = r_s^2 (1 - r_s^2 /
r_t^2): "Euler ancestral" is the same step under another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Linear, Process, broadcast_like
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler


@dataclass(frozen=True)
class DDIM(Sampler):
    """eta 0: deterministic; eta 1: DDPM with the posterior variance. straight: linear paths only.

    large: with eta 1, DDPM's larger variance, beta in its table: that of x_t given x_s, and none in the last step.

    References: Song et al. 2021, DDIM, https://arxiv.org/abs/2010.02502
        Ho et al. 2020, DDPM, https://arxiv.org/abs/2006.11239
    """

    eta: float = 0.0
    straight: bool = False
    large: bool = False
    step_variable: ClassVar[str] = "level"
    paper: ClassVar[str] = "Song et al. 2021"

    def __post_init__(self) -> None:
        if self.large and self.eta != 1:
            raise UsageError(f"eta is {self.eta:g}, but ddpm_large has one variance; leave eta out, or choose ddpm")

    @property
    def stochastic(self) -> bool:
        """Whether eta is above 0."""
        return self.eta > 0

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation at t, then the exact move to s."""
        here = estimate(x, t)
        if not self.stochastic:
            return process.transfer(x, here.x0, t, s), here, None
        alpha_t, sigma_t = process.scales(t)
        alpha_s, sigma_s = process.scales(s)
        ratio = alpha_t / alpha_s
        tau2 = self.eta**2 * (sigma_s / sigma_t) ** 2 * (sigma_t**2 - ratio**2 * sigma_s**2)
        tau2 = tau2.clamp(min=0)  # rounding may leave -1e-17
        drawn2 = tau2
        if self.large:
            drawn2 = torch.where(s > 0, sigma_t**2 - ratio**2 * sigma_s**2, 0.0).clamp(min=0)
        # `transfer` with less noise kept: what is left out, tau, is fresh noise.
        kept = (sigma_s**2 - tau2).clamp(min=0).sqrt() / sigma_t
        moved = broadcast_like(kept, x) * x + broadcast_like(alpha_s - alpha_t * kept, x) * here.x0
        return moved + broadcast_like(drawn2.sqrt(), x) * noise(), here, None

    def check(self, process: Process) -> None:
        """Also refuse "mix", the name for straight paths, on other paths."""
        super().check(process)
        if self.straight and not isinstance(process, Linear):
            raise UsageError("sampler 'mix' is DDIM's name on straight paths; use 'ddim' on this process")
