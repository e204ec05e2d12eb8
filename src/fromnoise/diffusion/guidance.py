"""Denoisers that wrap a denoiser: guidance by class or by a weaker model, and keeping x0 within the images' range.

    guided = without + scale (with - without)          "without": the class, or the better part of the training

Clipping belongs outside of guidance: what guidance says is what leaves the range.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Estimate, Estimator
from fromnoise.diffusion.process import Process, broadcast_like


@dataclass(frozen=True)
class DenoiserWrapper:
    """A denoiser around `inner`, with its process, images and cost."""

    inner: Estimator

    @property
    def process(self) -> Process:
        """The inner denoiser's."""
        return self.inner.process

    @property
    def spec(self) -> ImageSpec:
        """The inner denoiser's."""
        return self.inner.spec

    def num_evaluations(self, t: Tensor) -> int:
        """The inner denoiser's."""
        return self.inner.num_evaluations(t)

    def with_image(self, x0: Tensor, xt: Tensor, t: Tensor, out: Tensor) -> Estimate:
        """The Estimate that says x0, with the noise that then explains x_t: eps = (x_t - alpha x0) / sigma, t > 0."""
        alpha, sigma = self.process.scales(t)
        return Estimate(x0, (xt - broadcast_like(alpha, xt) * x0) / broadcast_like(sigma, xt), out)


@dataclass(frozen=True)
class ClassifierFreeGuidance(DenoiserWrapper):
    """Classifier-free guidance (Ho & Salimans 2022) at times t within `interval` (Kynkaanniemi et al. 2024), else none.

    scale 1 is the conditional model and 0 the unconditional one, one evaluation each; any other value costs two, made
    in one batch. rescale: how far x0 is brought back to the standard deviation that it has without guidance, 0 not at
    all, 1 wholly (Lin et al. 2024, section 3.4). Raises UsageError for a model without classes.
    """

    scale: float
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if not self.spec.classes and self.scale != 1:
            raise UsageError(
                f"guidance_scale is {self.scale:g}, but this model was trained without classes; leave it at 1"
            )

    def num_evaluations(self, t: Tensor) -> int:
        """Two evaluations where there is guidance."""
        return self.inner.num_evaluations(t) * (2 if self._inside(t) and self.scale not in (0, 1) else 1)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,); without a label there is nothing to guide."""
        if label is None or self.scale == 1 or not self._inside(t):
            return self.inner(xt, t, label)
        null = torch.full_like(label, self.spec.null_label)
        if self.scale == 0:
            return self.inner(xt, t, null)
        both = self.inner(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([label, null]))
        told, untold = (Estimate(*parts) for parts in zip(*(part.chunk(2) for part in _parts(both)), strict=True))
        guided = mixed(untold, told, self.scale)
        if not self.rescale:
            return guided
        share = _spread(told.x0) / _spread(guided.x0)
        return self.with_image(guided.x0 * (1 + self.rescale * (share - 1)), xt, t, guided.out)

    def _inside(self, t: Tensor) -> bool:
        low, high = self.interval or (float("-inf"), float("inf"))
        return low <= float(t[0]) <= high


@dataclass(frozen=True)
class Autoguidance(DenoiserWrapper):
    """Guidance by a weaker model of the same images, such as an earlier checkpoint (Karras et al. 2024b); any scale.

    Needs no classes. scale 1 is the better model alone, 0 the weaker one.
    """

    weaker: Estimator
    scale: float

    def num_evaluations(self, t: Tensor) -> int:
        """Both models'."""
        return self.inner.num_evaluations(t) + self.weaker.num_evaluations(t)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,) or None."""
        return mixed(self.weaker(xt, t, label), self.inner(xt, t, label), self.scale)


@dataclass(frozen=True)
class Clipping(DenoiserWrapper):
    """x0 clipped to the images' range."""

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The clipped Estimate for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate = self.inner(xt, t, label)
        return self.with_image(estimate.x0.clamp(self.spec.low, self.spec.high), xt, t, estimate.out)


@dataclass(frozen=True)
class DynamicThresholding(DenoiserWrapper):
    """Dynamic thresholding (Saharia et al. 2022, section 2.3): x0 that leaves the images' range is drawn in.

    From the range's middle, in half-ranges: s = max(1, the `share` quantile of |x0|);  x0 <- clip(x0, -s, s) / s.
    """

    share: float = 0.995

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The Estimate with x0 in range for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate, spec = self.inner(xt, t, label), self.spec
        middle, half = (spec.high + spec.low) / 2, (spec.high - spec.low) / 2
        x0 = (estimate.x0 - middle) / half
        s = broadcast_like(torch.quantile(x0.abs().flatten(1).float(), self.share, dim=1).clamp(min=1), x0)
        return self.with_image(middle + half * x0.clamp(-s, s) / s, xt, t, estimate.out)


def mixed(without: Estimate, told: Estimate, scale: float) -> Estimate:
    """without + scale (told - without), part by part."""
    pairs = zip(_parts(without), _parts(told), strict=True)
    return Estimate(*(torch.lerp(a, b, scale) for a, b in pairs))


def _parts(estimate: Estimate) -> tuple[Tensor, Tensor, Tensor]:
    return estimate.x0, estimate.eps, estimate.out


def _spread(x: Tensor) -> Tensor:
    """The standard deviation of each picture, (B, 1, 1, 1)."""
    return x.flatten(1).std(1).clamp(min=1e-8)[:, None, None, None]
