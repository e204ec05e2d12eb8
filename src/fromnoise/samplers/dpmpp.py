"""DPM-Solver++(2M): the exact move, with x0 extrapolated from the last two estimates (Lu et al. 2022, algorithm 2).

    lambda = ln(alpha / sigma),  h = lambda_s - lambda_t,  r = (lambda_t - lambda_before) / h
    D = x0_hat + (x0_hat - x0_before) / (2 r),   x_s = transfer(x_t, D, t -> s)

The first step (lambda is -infinity at pure noise) and the last (lambda is infinity at the clean image) are of
first order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.denoiser import Estimate
from fromnoise.process import Process, bcast
from fromnoise.samplers.base import Ask, Carry, Fresh, Sampler


@dataclass(frozen=True)
class DPMpp2M(Sampler):
    """Two steps of memory, one evaluation a step; carry is (lambda, x0) of the step before."""

    order = 2

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, one exact move with the extrapolated image."""
        estimate = ask(x, t)
        here, there = process.log_snr(t) / 2, process.log_snr(s) / 2
        x0 = estimate.x0
        if carry is not None:
            before, x0_before = carry
            half_over_r = (there - here) / (2 * (here - before))
            usable = torch.isfinite(half_over_r) & torch.isfinite(before) & torch.isfinite(there)
            x0 = x0 + bcast(torch.where(usable, half_over_r, 0.0), x) * (x0 - x0_before)
        return process.transfer(x, x0, t, s), estimate, (here, estimate.x0)
