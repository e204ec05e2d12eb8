"""Perfect denoisers: distributions of images for which E[x0 | x_t] is a formula, and so is the flow.

Every pixel is drawn by itself, and the flow keeps one thing about it:

| images    | pixel                    | E[x0 | x_t]                                         | kept           |
|-----------|--------------------------|-----------------------------------------------------|----------------|
| Gaussian  | N(mean, std^2)           | a straight line in x_t                              | standard score |
| Mixture   | one of several normals   | by Bayes' rule, the mean of their lines             | quantile       |
| TwoPoints | low or high, with chance | by Bayes' rule, for normal and for uniform noise    | quantile       |
| Point     | mean                     | mean                                                | noise          |
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.trajectories import implied_noise


@dataclass(frozen=True)
class Oracle(ABC):
    """A perfect denoiser on `process`, without a network; a call counts as one evaluation."""

    process: Process
    spec: ImageSpec = field(default_factory=lambda: ImageSpec(1, 2, 2))

    @abstractmethod
    def image(self, xt: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """E[x0 | x_t], for x_t (B, C, H, W) and its scales (B, 1, 1, 1)."""

    @abstractmethod
    def flow(self, x: Tensor, t: float, s: float) -> Tensor:
        """Where the probability-flow ODE takes x at time t to at time s; exact, float64."""

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """One."""
        return 1

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The true Estimate for x_t (B, C, H, W) at times t (B,) > 0."""
        alpha, sigma = (broadcast_like(scale, xt) for scale in self.process.scales(t))
        x0 = self.image(xt, alpha, sigma)
        return Estimate(x0, (xt - alpha * x0) / sigma, x0)

    def scales(self, t: float) -> tuple[float, float]:
        """alpha and sigma at one time."""
        alpha, sigma = self.process.scales(torch.tensor([t], dtype=torch.float64))
        return float(alpha), float(sigma)


@dataclass(frozen=True)
class Gaussian(Oracle):
    """Normal images, for processes with normal noise."""

    mean: float = 0.4
    std: float = 0.5

    def image(self, xt: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """mean + alpha std^2 (x_t - alpha mean) / (alpha^2 std^2 + sigma^2)."""
        gain = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
        return self.mean + gain * (xt - alpha * self.mean)

    def flow(self, x: Tensor, t: float, s: float) -> Tensor:
        """m_s + (x - m_t) d_s / d_t, with m = alpha mean and d^2 = alpha^2 std^2 + sigma^2."""
        (mean_t, spread_t), (mean_s, spread_s) = self.moments(t), self.moments(s)
        return mean_s + (x - mean_t) * spread_s / spread_t

    def moments(self, t: float) -> tuple[float, float]:
        """Mean and standard deviation of x_t."""
        alpha, sigma = self.scales(t)
        return alpha * self.mean, (alpha**2 * self.std**2 + sigma**2) ** 0.5


@dataclass(frozen=True)
class Point(Oracle):
    """One image, the same grey everywhere."""

    mean: float = 0.4

    def image(self, xt: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """That image."""
        return torch.full_like(xt, self.mean)

    def flow(self, x: Tensor, t: float, s: float) -> Tensor:
        """alpha_s mean + (x - alpha_t mean) sigma_s / sigma_t."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.scales(t), self.scales(s)
        return alpha_s * self.mean + (x - alpha_t * self.mean) * sigma_s / sigma_t


class _Quantiles(Oracle):
    """Images whose pixels keep their quantile along the flow, with normal noise."""

    @abstractmethod
    def quantile(self, x: Tensor, t: float) -> Tensor:
        """P(x_t <= x)."""

    @abstractmethod
    def reach(self) -> tuple[float, float]:
        """Two values between which nearly all pixels lie."""

    def flow(self, x: Tensor, t: float, s: float) -> Tensor:
        """The x at s with the quantile of x at t, by bisection; s > 0 where images are points."""
        wanted, (alpha, sigma) = self.quantile(x.double(), t), self.scales(s)
        ends = self.reach()
        low = torch.full_like(wanted, alpha * ends[0] - 12 * sigma)
        high = torch.full_like(wanted, alpha * ends[1] + 12 * sigma)
        for _ in range(100):
            middle = (low + high) / 2
            below = self.quantile(middle, s) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


@dataclass(frozen=True)
class Mixture(_Quantiles):
    """Pixels from one of several normals, for processes with normal noise: peaks that form late, as details do."""

    weights: tuple[float, ...] = (0.6, 0.25, 0.15)
    means: tuple[float, ...] = (-0.95, 0.0, 0.85)
    stds: tuple[float, ...] = (0.05, 0.2, 0.1)

    def image(self, xt: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """sum_k P(k | x_t) E[x0 | x_t, k]."""
        odds, images = [], []
        for weight, mean, std in zip(self.weights, self.means, self.stds, strict=True):
            variance, gap = alpha**2 * std**2 + sigma**2, xt - alpha * mean
            odds.append(math.log(weight) - torch.log(variance) / 2 - gap**2 / (2 * variance))
            images.append(mean + alpha * std**2 / variance * gap)
        return (torch.softmax(torch.stack(odds), 0) * torch.stack(images)).sum(0)

    def quantile(self, x: Tensor, t: float) -> Tensor:
        """P(x_t <= x)."""
        alpha, sigma = self.scales(t)
        total = torch.zeros_like(x)
        for weight, mean, std in zip(self.weights, self.means, self.stds, strict=True):
            total += weight * torch.special.ndtr((x - alpha * mean) / math.hypot(alpha * std, sigma))
        return total

    def reach(self) -> tuple[float, float]:
        """Twelve standard deviations about the outermost means."""
        widest = 12 * max(self.stds)
        return min(self.means) - widest, max(self.means) + widest


@dataclass(frozen=True)
class TwoPoints(_Quantiles):
    """Pixels that are `low`, or with `chance` `high`; for normal and for uniform noise."""

    low: float = 0.0
    high: float = 1.0
    chance: float = 0.7

    def image(self, xt: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """low + (high - low) P(high | x_t)."""
        first, second = (xt - alpha * self.low) / sigma, (xt - alpha * self.high) / sigma
        if self.process.prior.gaussian:
            odds = torch.log(torch.tensor(self.chance / (1 - self.chance), dtype=xt.dtype))
            share = torch.sigmoid(odds + (first**2 - second**2) / 2)
        else:
            could = [((noise >= 0) & (noise <= 1)).to(xt.dtype) for noise in (first, second)]
            weights = (1 - self.chance) * could[0], self.chance * could[1]
            share = weights[1] / (weights[0] + weights[1]).clamp(min=1e-12)
        return self.low + (self.high - self.low) * share

    def quantile(self, x: Tensor, t: float) -> Tensor:
        """P(x_t <= x), with normal noise."""
        alpha, sigma = self.scales(t)
        parts = [torch.special.ndtr((x - alpha * point) / sigma) for point in (self.low, self.high)]
        return cast(Tensor, (1 - self.chance) * parts[0] + self.chance * parts[1])

    def reach(self) -> tuple[float, float]:
        """low and high."""
        return self.low, self.high


@dataclass(frozen=True)
class EndPoint:
    """A perfect consistency model of `oracle`: at every time its x0 is where the flow ends."""

    oracle: Oracle

    @property
    def process(self) -> Process:
        """The oracle's."""
        return self.oracle.process

    @property
    def spec(self) -> ImageSpec:
        """The oracle's."""
        return self.oracle.spec

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """One."""
        return 1

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The Estimate for x_t (B, C, H, W), all of whose times t (B,) > 0 are the same."""
        x0 = self.oracle.flow(xt, float(t[0]), 0.0)
        return Estimate(x0, implied_noise(self.process, xt, x0, t), x0)
