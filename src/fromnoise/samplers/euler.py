"""Euler and Heun on the probability-flow ODE  dx/dt = alpha'(t) x0_hat + sigma'(t) eps_hat, in native time."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fromnoise.denoiser import Estimate
from fromnoise.process import Process, bcast
from fromnoise.samplers.base import Ask, Carry, Fresh, Sampler


@dataclass(frozen=True)
class Euler(Sampler):
    """x_s = x_t + (s - t) dx/dt. On straight paths it is DDIM."""

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, one straight move."""
        estimate = ask(x, t)
        slope = process.velocity(estimate.x0, estimate.eps, t)
        return x + bcast(s - t, x) * slope, estimate, None


@dataclass(frozen=True)
class Heun(Sampler):
    """Euler, then the mean of the slopes at both ends (Karras et al. 2022, algorithm 1); the last step is Euler.

    At s = 0 there is no noise left to ask about, so the move into the clean image is `transfer`.
    """

    order = 2
    evaluations = 2

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """Two evaluations, but one where s is below the least time a network may be asked about."""
        estimate = ask(x, t)
        if float(s[0]) < max(process.t_min, 1e-9):
            return process.transfer(x, estimate.x0, t, s), estimate, None
        first = process.velocity(estimate.x0, estimate.eps, t)
        ahead = ask(x + bcast(s - t, x) * first, s)
        second = process.velocity(ahead.x0, ahead.eps, s)
        return x + bcast((s - t) / 2, x) * (first + second), estimate, None
