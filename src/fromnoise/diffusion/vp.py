"""Variance preserving processes, alpha^2 + sigma^2 = 1: DDPM's table of T steps, and its limit of infinitely many.

    alpha_k^2 = abar_k = prod_{i<=k} (1 - beta_i)        the table (Ho et al. 2020), t = k = 1..T
    alpha^2   = exp(-B(t)),  B(t) = int_0^t T beta       the limit (Song et al. 2021, eq. 11), t in (0, 1]

| betas             | beta_i                                       | named by, used in                           |
|-------------------|----------------------------------------------|---------------------------------------------|
| linear            | from beta_start to beta_end                  | diffusers; DDPM                             |
| scaled_linear     | the same for sqrt(beta)                      | diffusers; latent diffusion                 |
| squaredcos_cap_v2 | from alpha = cos((t + s)/(1 + s) pi/2)       | diffusers; Nichol & Dhariwal 2021, eq. 17   |

zero_terminal_snr shifts and scales alpha so that its last value is 0 and its first stays (Lin et al. 2024, alg. 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError, unknown
from fromnoise.diffusion.process import Normal, Process, to_float64

Betas = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
_S = 0.008  # the cosine's offset: it keeps beta_1 from being tiny


def _check_betas(betas: str) -> None:
    """UsageError for a schedule that is none of Betas, such as one that diffusers has besides."""
    if betas not in get_args(Betas):
        raise UsageError(unknown("betas", betas, get_args(Betas)))


@lru_cache(maxsize=32)
def _table(process: VP, device: torch.device) -> Tensor:
    """ln SNR at k = 1..T (index k-1), float64, from the product of (1 - beta)."""
    start, end, steps = process.beta_start, process.beta_end, process.steps
    if process.betas == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float64)
    elif process.betas == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    else:
        edges = torch.arange(steps + 1, dtype=torch.float64) / steps
        bars = torch.cos((edges + _S) / (1 + _S) * math.pi / 2) ** 2
        betas = (1 - bars[1:] / bars[:-1]).clamp(max=0.999)
    log_bars = torch.log1p(-betas).cumsum(0)
    if process.zero_terminal_snr:
        alpha = (log_bars / 2).exp()
        log_bars = 2 * ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])).log()
    log_snr = log_bars - torch.log(-torch.expm1(log_bars))
    return log_snr.to(device=device, dtype=to_float64(torch.zeros(1, device=device)).dtype)


@dataclass(frozen=True)
class VP(Process):
    """DDPM's table. Between its entries ln SNR is interpolated linearly; from k = 1 to 0 sigma^2 falls linearly to 0,
    and with zero_terminal_snr alpha falls linearly to 0 from k = T - 1 to T.

    References: Ho et al. 2020, DDPM, https://arxiv.org/abs/2006.11239
        Nichol & Dhariwal 2021, the cosine schedule, eq. 17, https://arxiv.org/abs/2102.09672
        Lin et al. 2024, zero terminal SNR, algorithm 1, https://arxiv.org/abs/2305.08891
    """

    betas: Betas = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    zero_terminal_snr: bool = False
    prior = Normal()
    t_min = 1.0

    def __post_init__(self) -> None:
        _check_betas(self.betas)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """T, the number of steps."""
        return float(self.steps)

    def _log_snr_and_slope(self, t: Tensor) -> tuple[Tensor, Tensor]:
        table = _table(self, t.device)
        last = self.steps - 1 - int(self.zero_terminal_snr)  # the last entry with a finite ln SNR
        place = (t - 1).clamp(0, last)
        left = place.floor().clamp(max=last - 1).long()
        slope = table[left + 1] - table[left]
        return table[left] + (place - left) * slope, slope

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t)."""
        t = to_float64(t)
        log_snr, _ = self._log_snr_and_slope(t)
        variance = torch.sigmoid(-log_snr) * t.clamp(max=1)
        alpha = torch.where(t < 1, (1 - variance).sqrt(), torch.sigmoid(log_snr).sqrt())
        sigma = variance.sqrt()
        if self.zero_terminal_snr:
            alpha = alpha * (self.steps - t).clamp(0, 1)
            sigma = torch.where(t > self.steps - 1, (1 - alpha**2).sqrt(), sigma)
        return alpha, sigma

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The interpolant's: with l = ln SNR, alpha' = l' alpha sigma^2 / 2 and sigma' = -l' sigma alpha^2 / 2."""
        t = to_float64(t)
        alpha, sigma = self.scales(t)
        log_snr, slope = self._log_snr_and_slope(t)
        d_alpha = slope * alpha * sigma**2 / 2
        if self.zero_terminal_snr:
            d_alpha = torch.where(t > self.steps - 1, -torch.sigmoid(log_snr).sqrt(), d_alpha)
        return d_alpha, -alpha * d_alpha / sigma

    def code(self, t: Tensor) -> Tensor:
        """k - 1, the timestep index of diffusers."""
        return t - 1


@dataclass(frozen=True)
class VPContinuous(Process):
    """The limit of the table as T grows, in closed form, t in [0.001, 1]; rate_start and rate_end are T beta.

    References: Song et al. 2021, score SDE, eq. 11, https://arxiv.org/abs/2011.13456
    """

    betas: Betas = "linear"
    rate_start: float = 0.1
    rate_end: float = 20.0
    zero_terminal_snr: bool = False
    prior = Normal()
    t_min = 1e-3
    t_max = 1.0

    def __post_init__(self) -> None:
        _check_betas(self.betas)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar) and sqrt(1 - abar)."""
        t = to_float64(t)
        alpha, _ = self._alpha_and_rate(t)
        if self.betas == "squaredcos_cap_v2" or self.zero_terminal_snr:
            return alpha, (1 - alpha**2).clamp(min=0).sqrt()
        return alpha, (-torch.expm1(2 * alpha.log())).sqrt()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha', and sigma' = -alpha alpha' / sigma."""
        alpha, sigma = self.scales(t)
        _, d_alpha = self._alpha_and_rate(to_float64(t))
        return d_alpha, -alpha * d_alpha / sigma

    def code(self, t: Tensor) -> Tensor:
        """1000 t, the range that diffusers' networks expect."""
        return 1000 * t

    def _alpha_and_rate(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, rate = self._unshifted(t)
        if self.zero_terminal_snr:
            last, _ = self._unshifted(torch.ones(1, dtype=t.dtype, device=t.device))
            return (alpha - last) / (1 - last), rate / (1 - last)
        return alpha, rate

    def _unshifted(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha = exp(-B / 2) and its derivative -B' alpha / 2; for the cosine its own."""
        low, high = self.rate_start, self.rate_end
        if self.betas == "squaredcos_cap_v2":
            speed, first = math.pi / 2 / (1 + _S), math.cos(_S / (1 + _S) * math.pi / 2)
            angle = (t + _S) * speed
            return torch.where(t < 1, angle.cos() / first, 0.0), -speed * angle.sin() / first
        if self.betas == "linear":
            total, rate = low * t + (high - low) * t**2 / 2, low + (high - low) * t
        else:
            root, more = low**0.5, high**0.5 - low**0.5
            total, rate = low * t + root * more * t**2 + more**2 * t**3 / 3, (root + more * t) ** 2
        alpha = (-total / 2).exp()
        return alpha, -rate * alpha / 2


def continuous_limit(table: VP) -> VPContinuous:
    """The process that `table` approaches as its number of steps grows."""
    rates = (table.steps * table.beta_start, table.steps * table.beta_end)
    return VPContinuous(table.betas, *rates, zero_terminal_snr=table.zero_terminal_snr)


def VPLinear(steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02) -> VP:
    """DDPM's process: betas linear from 1e-4 to 0.02."""
    return VP("linear", steps, beta_start, beta_end)


def VPCosine(steps: int = 1000) -> VP:
    """Improved DDPM's process: squared-cosine abar, betas capped at 0.999."""
    return VP("squaredcos_cap_v2", steps)
