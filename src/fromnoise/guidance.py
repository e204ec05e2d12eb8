"""Denoisers that wrap a denoiser: classifier-free guidance, and clipping to the images' range."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.denoiser import Estimate, Estimator
from fromnoise.errors import UsageError
from fromnoise.images import ImageSpec
from fromnoise.process import Process, bcast


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance (Ho & Salimans 2022):  est = without + scale (with - without).

    scale 1 is the conditional model and costs one evaluation; 0 the unconditional one; any other value costs
    two, made in one batch. Outside `interval` (times t) the scale is 1 (Kynkaanniemi et al. 2024).
    """

    inner: Estimator
    scale: float
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.spec.classes and self.scale != 1:
            raise UsageError(
                f"guidance_scale is {self.scale:g}, but this model was trained without classes; leave it at 1"
            )

    @property
    def process(self) -> Process:
        """The inner denoiser's."""
        return self.inner.process

    @property
    def spec(self) -> ImageSpec:
        """The inner denoiser's."""
        return self.inner.spec

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,)."""
        low, high = self.interval or (float("-inf"), float("inf"))
        inside = low <= float(t[0]) <= high
        if label is None or self.scale == 1 or not inside:
            return self.inner(xt, t, label)
        null = torch.full_like(label, self.spec.null_label)
        both = self.inner(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([label, null]))
        return Estimate(*(torch.lerp(part[len(xt) :], part[: len(xt)], self.scale) for part in _parts(both)))


@dataclass(frozen=True)
class Clipped:
    """x0 clipped to the images' range, and the noise that then explains x_t: eps = (x_t - alpha x0) / sigma."""

    inner: Estimator

    @property
    def process(self) -> Process:
        """The inner denoiser's."""
        return self.inner.process

    @property
    def spec(self) -> ImageSpec:
        """The inner denoiser's."""
        return self.inner.spec

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The clipped Estimate for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate = self.inner(xt, t, label)
        x0 = estimate.x0.clamp(self.spec.low, self.spec.high)
        alpha, sigma = self.process.scales(t)
        return Estimate(x0, (xt - bcast(alpha, xt) * x0) / bcast(sigma, xt), estimate.out)


def _parts(estimate: Estimate) -> tuple[Tensor, Tensor, Tensor]:
    return estimate.x0, estimate.eps, estimate.out
