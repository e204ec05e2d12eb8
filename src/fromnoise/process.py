"""One equation: how a clean image becomes noise.

    x_t = alpha(t) * x0 + sigma(t) * eps        x0 clean image, eps ~ prior, t grows with noise

A process is two curves and a prior. Everything else in the package (what a network predicts, how losses are
weighted, how a sampler moves from t to s) is written once, over these.

| process            | t             | alpha      | sigma        | prior        | code for the network |
|--------------------|---------------|------------|--------------|--------------|----------------------|
| Linear(Uniform())  | [0, 1]        | 1 - t      | t            | Uniform[0,1) | 1000 t               |
| Linear(Normal())   | [0, 1]        | 1 - t      | t            | Normal       | 1000 t               |
| VPLinear, VPCosine | k = 1..T      | sqrt(abar) | sqrt(1-abar) | Normal       | k - 1                |
| VE                 | [0.002, 80]   | 1          | t            | Normal       | ln(t) / 4            |

At t = 0 every process is the clean image: alpha = 1, sigma = 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor


def bcast(values: Tensor, x: Tensor) -> Tensor:
    """Values (B,) shaped (B, 1, 1, 1) so that they scale x (B, C, H, W), in x's type and on its device."""
    return values.to(device=x.device, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))


def precise(t: Tensor) -> Tensor:
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
    t_min: float  # the least time a network is asked about
    t_max: float

    @abstractmethod
    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha(t), sigma(t): float64 (B,) for t (B,)."""

    @abstractmethod
    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """d alpha / dt, d sigma / dt: float64 (B,) for t (B,) in [t_min, t_max]."""

    @abstractmethod
    def code(self, t: Tensor) -> Tensor:
        """What the network is told of the time, float (B,)."""

    def corrupt(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha x0 + sigma eps, for x0 and eps (B, C, H, W) and t (B,)."""
        alpha, sigma = self.scales(t)
        return bcast(alpha, x0) * x0 + bcast(sigma, x0) * eps

    def transfer(self, xt: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Move x_t to time s as if x0 were the clean image, keeping the noise that this implies.

        x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) x0

        This one move is DDIM (eta 0), the chapter's sampler and Euler on straight paths. It never divides by
        alpha, so it may start from pure noise; sigma_t must not be 0.
        """
        alpha_t, sigma_t = self.scales(t)
        alpha_s, sigma_s = self.scales(s)
        keep = sigma_s / sigma_t
        return bcast(keep, xt) * xt + bcast(alpha_s - alpha_t * keep, xt) * x0

    def velocity(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """dx_t/dt = alpha' x0 + sigma' eps along the path from x0 to eps."""
        d_alpha, d_sigma = self.rates(t)
        return bcast(d_alpha, x0) * x0 + bcast(d_sigma, x0) * eps

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio (alpha / sigma)^2, float64 (B,); infinite at t = 0."""
        alpha, sigma = self.scales(t)
        return (alpha / sigma) ** 2

    def log_snr(self, t: Tensor) -> Tensor:
        """ln (alpha / sigma)^2, float64 (B,); falls as t grows."""
        return self.snr(t).log()


@dataclass(frozen=True)
class Linear(Process):
    """A straight mix: x_t = (1 - t) x0 + t eps.

    With uniform noise this is the chapter's corruption; with normal noise it is flow matching (Lipman et al.
    2023) and rectified flow (Liu et al. 2023).
    """

    prior: Prior = Normal()
    t_min = 0.0
    t_max = 1.0

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """1 - t and t."""
        t = precise(t)
        return 1 - t, t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-1 and 1."""
        one = torch.ones_like(precise(t))
        return -one, one

    def code(self, t: Tensor) -> Tensor:
        """1000 t, the range that diffusers' networks expect."""
        return 1000 * t


@lru_cache(maxsize=32)
def _vp_table(process: VP, device: torch.device) -> Tensor:
    """ln SNR at k = 1..T (index k-1), float64, from the product of (1 - beta)."""
    if process.betas == "linear":
        betas = torch.linspace(process.beta_start, process.beta_end, process.steps, dtype=torch.float64)
    else:
        edges = torch.arange(process.steps + 1, dtype=torch.float64) / process.steps
        bars = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - bars[1:] / bars[:-1]).clamp(max=0.999)
    log_bars = torch.log1p(-betas).cumsum(0)
    log_snr = log_bars - torch.log(-torch.expm1(log_bars))
    return log_snr.to(device=device, dtype=precise(torch.zeros(1, device=device)).dtype)


@dataclass(frozen=True)
class VP(Process):
    """Variance preserving: alpha^2 + sigma^2 = 1, a table over T steps (DDPM, Ho et al. 2020).

    betas: "linear" from beta_start to beta_end, or "squaredcos_cap_v2" (Nichol & Dhariwal 2021, eq. 17), the
    names diffusers uses. abar_k = prod_{i<=k} (1 - beta_i), t = k. Between the entries ln SNR is interpolated
    linearly; from k = 1 to 0 sigma^2 falls linearly to 0.
    """

    betas: Literal["linear", "squaredcos_cap_v2"] = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    prior = Normal()
    t_min = 1.0

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """T, the number of steps."""
        return float(self.steps)

    def _log_snr_and_slope(self, t: Tensor) -> tuple[Tensor, Tensor]:
        table = _vp_table(self, t.device)
        place = (t - 1).clamp(0, self.steps - 1)
        left = place.floor().clamp(max=self.steps - 2).long()
        slope = table[left + 1] - table[left]
        return table[left] + (place - left) * slope, slope

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t)."""
        t = precise(t)
        log_snr, _ = self._log_snr_and_slope(t)
        variance = torch.sigmoid(-log_snr) * t.clamp(max=1)
        alpha = torch.where(t < 1, (1 - variance).sqrt(), torch.sigmoid(log_snr).sqrt())
        return alpha, variance.sqrt()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The interpolant's: with l = ln SNR, alpha' = l' alpha sigma^2 / 2 and sigma' = -l' sigma alpha^2 / 2."""
        t = precise(t)
        alpha, sigma = self.scales(t)
        _, slope = self._log_snr_and_slope(t)
        return slope * alpha * sigma**2 / 2, -slope * sigma * alpha**2 / 2

    def code(self, t: Tensor) -> Tensor:
        """k - 1, the timestep index of diffusers."""
        return t - 1


def VPLinear(steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> VP:
    """DDPM's process: betas linear from 1e-4 to 0.02."""
    return VP("linear", steps, beta_start, beta_end)


def VPCosine(steps: int = 1000) -> VP:
    """Improved DDPM's process: squared-cosine abar, betas capped at 0.999."""
    return VP("squaredcos_cap_v2", steps)


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding, with t the noise level itself: x_t = x0 + t eps (EDM, Karras et al. 2022)."""

    t_min: float = 0.002
    t_max: float = 80.0
    prior = Normal()

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """1 and t."""
        t = precise(t)
        return torch.ones_like(t), t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """0 and 1."""
        t = precise(t)
        return torch.zeros_like(t), torch.ones_like(t)

    def code(self, t: Tensor) -> Tensor:
        """ln(t) / 4, EDM's noise conditioning."""
        return t.log() / 4


PRIORS: dict[str, Prior] = {"normal": Normal(), "uniform": Uniform()}
