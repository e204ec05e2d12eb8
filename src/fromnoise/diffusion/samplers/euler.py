"""Euler and Heun on the probability-flow ODE, in one of two variables.

    native:  dx/dt = alpha'(t) x0_hat + sigma'(t) eps_hat        with t = sigma this is EDM's own
    sigma:   dy/dr = eps_hat,  y = x / alpha,  r = sigma / alpha the variable of diffusers and k-diffusion

"auto" is native, but sigma on VP processes: DDPM's table has a corner in t at each of its entries, and none in r.

In sigma space Euler's step is DDIM's: alpha_s (y + (r_s - r_t) eps_hat) = transfer(x, x0_hat, t -> s). So is its
start at pure noise, where r is infinite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler
from fromnoise.diffusion.vp import VP, VPContinuous

Space = Literal["auto", "native", "sigma"]
_NO_IMAGE_LEFT = 1e-3  # alpha below this: a step in sigma / alpha would be boundless, and Heun does Euler's


def _in_sigma(process: Process, space: Space) -> bool:
    return space == "sigma" or (space == "auto" and isinstance(process, VP | VPContinuous))


def euler_move(process: Process, space: Space, x: Tensor, here: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """Euler's move from t to s with the estimate made at t."""
    if _in_sigma(process, space):
        return process.transfer(x, here.x0, t, s)
    return x + broadcast_like(s - t, x) * process.velocity(here.x0, here.eps, t)


def heun_correction(process: Process, space: Space, ahead: Estimate, here: Estimate, t: Tensor, s: Tensor) -> Tensor:
    """What turns Euler's x_s into Heun's: half the difference of the slopes at s and t, times the step."""
    if not _in_sigma(process, space):
        later = process.velocity(ahead.x0, ahead.eps, s)
        return broadcast_like((s - t) / 2, later) * (later - process.velocity(here.x0, here.eps, t))
    alpha_t, sigma_t = process.scales(t)
    alpha_s, sigma_s = process.scales(s)
    if float(alpha_t[0]) < _NO_IMAGE_LEFT:
        return 0 * here.eps
    return broadcast_like((sigma_s - alpha_s * sigma_t / alpha_t) / 2, here.eps) * (ahead.eps - here.eps)


@dataclass(frozen=True)
class Euler(Sampler):
    """x_s = x_t + (s - t) dx/dt. On straight paths it is DDIM.

    References: Song et al. 2021, score SDE, https://arxiv.org/abs/2011.13456
    """

    space: Space = "auto"
    step_variable: ClassVar[str] = "t"
    paper: ClassVar[str] = "Song et al. 2021 (score SDE); Lipman et al. 2023"

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, one straight move."""
        here = estimate(x, t)
        return euler_move(process, self.space, x, here, t, s), here, None


@dataclass(frozen=True)
class Heun(Sampler):
    """Euler, then the mean of the slopes at both ends; the steps into t_min and into 0 are Euler's.

    A grid of few steps goes to the tiny level of t_min in one long step, over which the slope is not straight: with
    a correction there, five of Karras' steps are two to five times as far from the flow, twenty equally far.

    References: Karras et al. 2022, algorithm 1, https://arxiv.org/abs/2206.00364
    """

    space: Space = "auto"
    order = 2
    evaluations: ClassVar[int] = 2
    step_variable: ClassVar[str] = "t"
    paper: ClassVar[str] = "Karras et al. 2022, algorithm 1"

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """Two evaluations, but one where s is at most t_min, the least time at which a network is evaluated."""
        here = estimate(x, t)
        # At s = 0 no noise is left to estimate, so the move into the clean image is exact.
        if float(s[0]) <= max(process.t_min * (1 + 1e-6), 1e-9):
            return process.transfer(x, here.x0, t, s), here, None
        x = euler_move(process, self.space, x, here, t, s)
        return x + heun_correction(process, self.space, estimate(x, s), here, t, s), here, None
