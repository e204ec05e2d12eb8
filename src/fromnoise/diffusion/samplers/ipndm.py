"""Adams-Bashforth on the noise: iPNDM (Zhang & Chen 2023, DEIS, section 3.3; Liu et al. 2022, PNDM).

In noise levels r = sigma / alpha the flow is dy/dr = eps_hat, y = x / alpha. The slope is a fixed mean of the
last four, whose weights are right where the levels are evenly spaced:

    e = (55 eps - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24,   y_s = y_t + (r_s - r_t) e
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler, of_one_flow

_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


@dataclass(frozen=True)
class IPNDM(Sampler):
    """Up to four slopes; carry is those of earlier steps with their guidance, newest first. The first step is DDIM's.

    Where guidance begins or ends the slope jumps; there two of them count, see `of_one_flow`.

    References: Liu et al. 2022, PNDM, https://arxiv.org/abs/2202.09778
        Zhang & Chen 2023, DEIS, section 3.3, https://arxiv.org/abs/2204.13902
    """

    order: int = 4
    step_variable: ClassVar[str] = "level"
    paper: ClassVar[str] = "Zhang & Chen 2023 (DEIS)"

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation; DDIM's move, and what the mean slope differs from the newest times the step."""
        here = estimate(x, t)
        moved = process.transfer(x, here.x0, t, s)
        slopes = of_one_flow(((here.eps, here.guidance), *(carry or ()))[: self.order], across=2)
        if len(slopes) > 1:  # so t is no longer pure noise, and alpha_t is not 0
            weights = _WEIGHTS[len(slopes) - 1]
            slope = sum(weight * eps for weight, (eps, _) in zip(weights, slopes, strict=True)) - here.eps
            alpha_t, sigma_t = process.scales(t)
            alpha_s, sigma_s = process.scales(s)
            moved = moved + broadcast_like(sigma_s - alpha_s * sigma_t / alpha_t, x) * slope
        return moved, here, slopes
