"""Exponential multistep methods: the exact move, towards a mean of the images met on the way.

In lambda = ln(alpha / sigma) the flow from t to s, h = lambda_s - lambda_t, has an exact solution:

    x_s = transfer(x_t, D, t -> s),   D = int_0^1 w(u) x0_hat(lambda_t + u h) du,   w(u) = h e^{-h (1 - u)} / (1 - e^-h)

w has weight 1, so D is a mean of guesses at the clean image. Each method draws a polynomial through the guesses it
remembers and takes the mean of that; through two guesses the published methods take its value at u = 1/2 instead, which
is as good to second order.

DPM-Solver++ (Lu et al. 2022, alg. 2) looks back only. The third-order one published there and in wide use halves the
quadratic term, which costs an order; ours is exact. UniPC (Zhao et al. 2023, with B(h) = e^h - 1) mends each step once
the guess at its end is known, at no further evaluation, and so gains an order.

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
from fromnoise.diffusion.samplers.base import Ask, Carry, Fresh, Sampler, half_log_snr

Guess = tuple[float, Tensor]  # (lambda, x0_hat): an image, and where it was guessed
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


def mean_image(guesses: Sequence[Guess], begin: float, end: float) -> Tensor:
    """D for the step between two lambdas through `guesses`, the first of which is made at `begin`."""
    h = end - begin
    finite = [guess for guess in guesses if math.isfinite(guess[0])]
    if not math.isfinite(h) or len(finite) < 2:
        return guesses[0][1]
    weights = mean_weights([(place - begin) / h for place, _ in finite], h)
    total = weights[0] * finite[0][1]
    for weight, (_, image) in zip(weights[1:], finite[1:], strict=True):
        total = total + weight * image
    return total


@dataclass(frozen=True)
class DPMpp(Sampler):
    """DPM-Solver++ multistep of `order` 2 or 3; carry is the guesses made so far, newest first."""

    order: int = 2
    paper: ClassVar[str] = "Lu et al. 2022 (DPM-Solver++)"

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation, one exact move."""
        estimate = ask(x, t)
        here = half_log_snr(process, t)
        guesses = ((here, estimate.x0), *(carry or ()))[: self.order]
        image = mean_image(guesses, here, half_log_snr(process, s))
        return process.transfer(x, image, t, s), estimate, guesses


@dataclass(frozen=True)
class UniPC(Sampler):
    """UniPC: a look back through `order` - 1 guesses, each step mended by the guess at its end.

    carry: the guesses so far, newest first, and the time and x (mended) that the last step began at.
    """

    order: int = 3
    paper: ClassVar[str] = "Zhao et al. 2023 (UniPC)"

    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """One evaluation: mend x at t, then move on from there."""
        estimate = ask(x, t)
        here = half_log_snr(process, t)
        new, old = (here, estimate.x0), ()
        if carry is not None:
            old, before, x_before = carry
            image = mean_image((*old, new), old[0][0], here)
            x = process.transfer(x_before, self._begun(old, new, image), before, t)
        guesses = (new, *old)[: self.order - 1]
        image = mean_image(guesses, here, half_log_snr(process, s))
        return process.transfer(x, image, t, s), estimate, (guesses, t, x)

    def _begun(self, old: Sequence[Guess], new: Guess, image: Tensor) -> Tensor:
        """The image to move to from pure noise, where lambda is no help: the mean of both ends' guesses."""
        return image if math.isfinite(old[0][0]) else (old[0][1] + new[1]) / 2
