"""Churn: noise that is added before a step, so that the step also takes away what earlier ones got wrong.

In noise levels r = sigma / alpha and y = x / alpha (Karras et al. 2022, algorithm 2):

    r+ = (1 + churn) r_t,   y+ = y + s_noise sqrt(r+^2 - r_t^2) z,   and the step leads down from r+

churn = S_churn / steps, at most sqrt(2) - 1, where half of the noise is fresh.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import NoiseFn

S_MIN, S_MAX = 0.05, 50.0
"""The noise levels between which it acts: below there is nearly nothing to correct, above nothing but noise."""


def with_churn(
    process: Process,
    x: Tensor,
    t: Tensor,
    churn: float,
    noise: NoiseFn,
    *,
    s_noise: float = 1.0,
    within: tuple[float, float] = (S_MIN, S_MAX),
) -> tuple[Tensor, Tensor]:
    """(x, t) with the noise level raised by the share `churn`, as they are where it does not act.

    Arguments:
        process: the path that x lies on.
        x: (B, C, H, W) at time t.
        t: (B,), all entries alike.
        churn: the share by which the noise level rises, at least 0; above sqrt(2) - 1 it counts as that.
        noise: () -> fresh noise like x.
        s_noise: the standard deviation of what is added, over that of the level's rise.
        within: the least and greatest noise level that is raised.

    Returns:
        x and t at the raised level.
    """
    level = math.exp(-float(process.log_snr(t[:1])) / 2)
    if churn == 0 or not within[0] <= level <= within[1]:
        return x, t
    raised = level * (1 + min(churn, math.sqrt(2) - 1))
    up = process.time_at_log_snr(torch.full_like(t, -2 * math.log(raised)))
    if float(up[0]) >= process.t_max:
        return x, t
    alpha = process.scales(up)[0]
    keep, added = alpha / process.scales(t)[0], s_noise * alpha * math.sqrt(raised**2 - level**2)
    return broadcast_like(keep, x) * x + broadcast_like(added, x) * noise(), up
