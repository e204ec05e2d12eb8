"""Exponential multistep methods: the exact move, towards a mean of the x0 predictions met on the way.

In lambda = ln(alpha / sigma) the flow from t to s, h = lambda_s - lambda_t, has an exact solution:

    x_s = transfer(x_t, D, t -> s),   D = int_0^1 w(u) x0_hat(lambda_t + u h) du,   w(u) = h e^{-h (1 - u)} / (1 - e^-h)

w has weight 1, so D is a mean of x0 predictions. Each method draws a polynomial through the predictions it
remembers and takes the mean of that; through two of them the published methods take its value at u = 1/2 instead, which
is as good to second order.

DPM-Solver++ (Lu et al. 2022, alg. 2) looks back only. The third-order one published there and in wide use halves the
quadratic term, which costs an order; ours is exact. UniPC (Zhao et al. 2023, with B(h) = e^h - 1) corrects each step
once the prediction at its end is known, at no further evaluation, and so gains an order.

Where lambda is infinite (pure noise, the clean image) a step falls back to what is finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.base import Carry, EstimateFn, NoiseFn, Sampler, half_log_snr, of_one_flow
from fromnoise.diffusion.samplers.churn import with_churn

X0Estimate = tuple[float, Tensor, float]  # (lambda, x0_hat, guidance): an x0 prediction, where and how it was made
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)


def mean_weights(nodes: Sequence[float], h: float) -> list[float]:
    """The weight of each node u in D: int w(u) l_i(u) du for Lagrange's l_i; at two nodes l_i(1/2)."""
    u = np.array([0.5]) if len(nodes) == 2 else (_POINTS + 1) / 2
    w = np.array([1.0]) if len(nodes) == 2 else _WEIGHTS * np.exp(-h * (1 - u))
    w = w / w.sum()
    basis = [
        np.prod([(u - other) / (node - other) for other in nodes if other != node], axis=0) * np.ones_like(u)
        for node in nodes
    ]
    return [float((w * values).sum()) for values in basis]


def weighted_x0(estimates: Sequence[X0Estimate], begin: float, end: float) -> Tensor:
    """D for the step between two lambdas through `estimates`, the first of which is made at `begin`."""
    h = end - begin
    finite = [one for one in estimates if math.isfinite(one[0])]
    if not math.isfinite(h) or len(finite) < 2:
        return estimates[0][1]
    weights = mean_weights([(place - begin) / h for place, _, _ in finite], h)
    total = weights[0] * finite[0][1]
    for weight, (_, image, _) in zip(weights[1:], finite[1:], strict=True):
        total = total + weight * image
    return total


@dataclass(frozen=True)
class DPMpp(Sampler):
    """DPM-Solver++ multistep of `order` 2 or 3; carry is the x0 predictions made so far, newest first.

    churn: the share by which the noise level is raised before each step; 0 adds no noise. The predictions that are
    remembered were made at raised levels, and count there; two of them at most, as under other noise a third says less.

    References: Lu et al. 2022, DPM-Solver++, https://arxiv.org/abs/2211.01095
        Karras et al. 2022, algorithm 2 (churn), https://arxiv.org/abs/2206.00364
    """

    order: int = 2
    churn: float = 0.0
    paper: ClassVar[str] = "Lu et al. 2022 (DPM-Solver++)"

    @property
    def stochastic(self) -> bool:
        """Whether churn is above 0."""
        return self.churn > 0

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, one exact move."""
        x, t = with_churn(process, x, t, self.churn, noise)
        here, begin = estimate(x, t), half_log_snr(process, t)
        end = half_log_snr(process, s)
        order, mean = (2, _damped_x0) if self.churn else (self.order, weighted_x0)
        estimates = of_one_flow(((begin, here.x0, here.guidance), *(carry or ()))[:order], across=2)
        return process.transfer(x, mean(estimates, begin, end), t, s), here, estimates


def _damped_x0(estimates: Sequence[X0Estimate], begin: float, end: float) -> Tensor:
    """`weighted_x0` of the first two, with less of the second the less it lies behind the first.

    Churn takes a step back towards where the last one began, or past it. A line through two predictions so near to each
    other, made under different noise, would carry their difference on many times over: what the older one adds is whole
    where it lies at least half of the step behind, and nothing where it does not.
    """
    further = weighted_x0(estimates, begin, end)
    if len(estimates) < 2 or not math.isfinite(begin - estimates[1][0]) or not math.isfinite(end - begin):
        return further
    share = min(1.0, max(0.0, 2 * (begin - estimates[1][0]) / (end - begin))) ** 2
    here = estimates[0][1]
    return further if share == 1 else here + share * (further - here) if share else here


@dataclass(frozen=True)
class UniPC(Sampler):
    """UniPC: predict through the last `predictor_order` x0 predictions, then correct with the one at the step's end.

    carry: the predictions so far, newest first, and the time and x (corrected) that the last step began at. Where
    guidance begins or ends, those of predictor_order 2 count, see `of_one_flow`.

    References: Zhao et al. 2023, UniPC, https://arxiv.org/abs/2302.04867
    """

    predictor_order: int = 2
    paper: ClassVar[str] = "Zhao et al. 2023 (UniPC)"

    @property
    def order(self) -> int:  # type: ignore[override]
        """One more than the predictor's: the corrector gains it."""
        return self.predictor_order + 1

    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation: correct x at t, then move on from there."""
        here, begin = estimate(x, t), half_log_snr(process, t)
        new, old = (begin, here.x0, here.guidance), ()
        if carry is not None:
            old, before, x_before = carry
            _, *nodes = of_one_flow((new, *old), across=3)
            image = weighted_x0((*nodes, new), old[0][0], begin)
            x = process.transfer(x_before, _from_infinite_snr(old, new, image), before, t)
        estimates = of_one_flow((new, *old)[: self.predictor_order], across=2)
        image = weighted_x0(estimates, begin, half_log_snr(process, s))
        return process.transfer(x, image, t, s), here, (estimates, t, x)


def _from_infinite_snr(old: Sequence[X0Estimate], new: X0Estimate, image: Tensor) -> Tensor:
    """The image to move to from pure noise, where lambda is infinite: the mean of both ends' x0 predictions."""
    return image if math.isfinite(old[0][0]) else (old[0][1] + new[1]) / 2
