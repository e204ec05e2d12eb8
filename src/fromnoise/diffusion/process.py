"""One equation: how a clean image becomes noise.

    x_t = alpha(t) * x0 + sigma(t) * eps        x0 clean image, eps ~ prior, t grows with noise

A process is two curves and a prior. Everything else in the package (what a network predicts, how losses are
weighted, how a sampler moves from t to s) is written once, over these.

| process            | t             | alpha      | sigma        | prior        | code for the network |
|--------------------|---------------|------------|--------------|--------------|----------------------|
| Linear(Uniform())  | [0, 1]        | 1 - t      | t            | Uniform[0,1) | 1000 t               |
| Linear(Normal())   | [0, 1]        | 1 - t      | t            | Normal       | 1000 t               |
| VP (in vp.py)      | k = 1..T      | sqrt(abar) | sqrt(1-abar) | Normal       | k - 1                |
| VPContinuous       | [0.001, 1]    | sqrt(abar) | sqrt(1-abar) | Normal       | 1000 t               |
| VE                 | [0.002, 80]   | 1          | t            | Normal       | ln(t) / 4            |

At t = 0 every process is the clean image: alpha = 1, sigma = 0. EDM's sigma is our sigma / alpha, the noise level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


def broadcast_like(values: Tensor, x: Tensor) -> Tensor:
    """Values (B,) shaped (B, 1, 1, 1) so that they scale x (B, C, H, W), in x's type and on its device."""
    return values.to(device=x.device, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))


def to_float64(t: Tensor) -> Tensor:
    """t in float64, where the device has it (Apple's MPS has not)."""
    return t.float() if t.device.type == "mps" else t.double()


@dataclass(frozen=True)
class Normal:
    """Standard normal noise: mean 0, variance 1."""

    gaussian = True

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A float32 draw of `shape` on the generator's device."""
        return torch.randn(shape, generator=generator, device=generator.device)


@dataclass(frozen=True)
class Uniform:
    """The chapter's noise: uniform in [0, 1)."""

    gaussian = False

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A float32 draw of `shape` on the generator's device."""
        return torch.rand(shape, generator=generator, device=generator.device)


Prior = Normal | Uniform


class Process(ABC):
    """Two curves and a prior. A subclass writes `scales`, `rates` and `code`; the rest is final."""

    prior: Prior
    t_min: float  # the least time at which a network is evaluated
    t_max: float

    @abstractmethod
    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha(t), sigma(t): float64 (B,) for t (B,)."""

    @abstractmethod
    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """d alpha / dt, d sigma / dt: float64 (B,) for t (B,) in [t_min, t_max]."""

    @abstractmethod
    def code(self, t: Tensor) -> Tensor:
        """The time conditioning that the network is given (EDM's c_noise), float (B,)."""

    def corrupt(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha x0 + sigma eps, for x0 and eps (B, C, H, W) and t (B,)."""
        alpha, sigma = self.scales(t)
        return broadcast_like(alpha, x0) * x0 + broadcast_like(sigma, x0) * eps

    def transfer(self, xt: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Move x_t to time s as if x0 were the clean image, keeping the noise that this implies.

        x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) x0

        This one move is DDIM (eta 0), the chapter's sampler and Euler on straight paths. It never divides by
        alpha, so it may start from pure noise; sigma_t must not be 0.
        """
        # eps = (x_t - alpha_t x0) / sigma_t, put into x_s = alpha_s x0 + sigma_s eps: eps itself is never formed.
        alpha_t, sigma_t = self.scales(t)
        alpha_s, sigma_s = self.scales(s)
        keep = sigma_s / sigma_t
        return broadcast_like(keep, xt) * xt + broadcast_like(alpha_s - alpha_t * keep, xt) * x0

    def velocity(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """dx_t/dt = alpha' x0 + sigma' eps along the path from x0 to eps."""
        d_alpha, d_sigma = self.rates(t)
        return broadcast_like(d_alpha, x0) * x0 + broadcast_like(d_sigma, x0) * eps

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio (alpha / sigma)^2, float64 (B,); infinite at t = 0."""
        alpha, sigma = self.scales(t)
        return (alpha / sigma) ** 2

    def log_snr(self, t: Tensor) -> Tensor:
        """ln (alpha / sigma)^2, float64 (B,); falls as t grows."""
        return self.snr(t).log()

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        """The t in [0, t_max] with that ln SNR, float64 (B,): the inverse of `log_snr`, cut at t_max."""
        # Bisection needs no formula for the inverse, so each new process has one; 64 halvings reach rounding.
        low, high = torch.zeros_like(to_float64(log_snr)), torch.full_like(to_float64(log_snr), self.t_max)
        for _ in range(64):
            middle = (low + high) / 2
            cleaner = self.log_snr(middle) > log_snr
            low, high = torch.where(cleaner, middle, low), torch.where(cleaner, high, middle)
        return high


def noise_times(process: Process, shares: Tensor) -> Tensor:
    """The times (N,) at which sigma / (alpha + sigma) is each of `shares` (N,), 0 to 1: t itself on the linear path.

    Even shares of t would be nearly nothing but noise where t is the noise level and reaches 80.
    """
    times = process.time_at_log_snr(2 * (torch.log1p(-shares) - shares.log()))
    return torch.where(shares == 0, 0.0, times)


@dataclass(frozen=True)
class Linear(Process):
    """A straight mix: x_t = (1 - t) x0 + t eps.

    With uniform noise this is the chapter's corruption; with normal noise it is flow matching and rectified flow.

    References: Lipman et al. 2023, flow matching, https://arxiv.org/abs/2210.02747
        Liu et al. 2023, rectified flow, https://arxiv.org/abs/2209.03003
    """

    prior: Prior = Normal()
    t_min = 0.0
    t_max = 1.0

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """1 - t and t."""
        t = to_float64(t)
        return 1 - t, t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-1 and 1."""
        one = torch.ones_like(to_float64(t))
        return -one, one

    def code(self, t: Tensor) -> Tensor:
        """1000 t, the range that diffusers' networks expect."""
        return 1000 * t

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        """1 / (1 + e^(log_snr / 2)), at once: each training step of large images asks."""
        return torch.sigmoid(-to_float64(log_snr) / 2)


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding, with t the noise level itself: x_t = x0 + t eps.

    References: Karras et al. 2022, EDM, https://arxiv.org/abs/2206.00364
        Song et al. 2021, score SDE, https://arxiv.org/abs/2011.13456
    """

    t_min: float = 0.002
    t_max: float = 80.0
    prior = Normal()

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """1 and t."""
        t = to_float64(t)
        return torch.ones_like(t), t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """0 and 1."""
        t = to_float64(t)
        return torch.zeros_like(t), torch.ones_like(t)

    def code(self, t: Tensor) -> Tensor:
        """ln(t) / 4, EDM's noise conditioning."""
        return t.log() / 4

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        """e^(-log_snr / 2), at most t_max."""
        return (-to_float64(log_snr) / 2).exp().clamp(max=self.t_max)


PRIORS: dict[str, Prior] = {"normal": Normal(), "uniform": Uniform()}
