"""DDIM, and with eta = 1 DDPM's ancestral step; on a linear path the chapter's own sampler.

    x_s = transfer(x_t, x0_hat, t -> s)                                                  eta = 0

With noise (Song et al. 2021, eq. 16, in alpha and sigma):

    tau^2 = eta^2 (sigma_s / sigma_t)^2 (sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2)
    x_s   = alpha_s x0_hat + sqrt(sigma_s^2 - tau^2) eps_hat + tau z

On Linear(Uniform()) and a uniform grid, eta = 0 is  x = x (1 - m) + x0_hat m  with m = 1 / (n - i).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fromnoise.denoiser import Estimate
from fromnoise.process import Process, bcast
from fromnoise.samplers.base import Ask, Carry, Fresh, Sampler


@dataclass(frozen=True)
class DDIM(Sampler):
    """eta 0: deterministic; eta 1: DDPM (Ho et al. 2020) with the posterior variance."""

    eta: float = 0.0

    @property
    def stochastic(self) -> bool:
        """Whether eta is above 0."""
        return self.eta > 0

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation at t, then the exact move to s."""
        estimate = ask(x, t)
        if not self.stochastic:
            return process.transfer(x, estimate.x0, t, s), estimate, None
        alpha_t, sigma_t = process.scales(t)
        alpha_s, sigma_s = process.scales(s)
        ratio = alpha_t / alpha_s
        tau2 = self.eta**2 * (sigma_s / sigma_t) ** 2 * (sigma_t**2 - ratio**2 * sigma_s**2)
        tau2 = tau2.clamp(min=0)
        kept = (sigma_s**2 - tau2).clamp(min=0).sqrt() / sigma_t
        moved = bcast(kept, x) * x + bcast(alpha_s - alpha_t * kept, x) * estimate.x0
        return moved + bcast(tau2.sqrt(), x) * fresh(), estimate, None
