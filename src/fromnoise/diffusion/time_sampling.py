"""At which times a network is trained: distributions of t.

The times of a whole batch are drawn at once: they can be stratified, and do not depend on how the batch is split.
Distributions with a name of their own keep it (LogitNormal); adjectives have "Times" behind them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.vp import VP


class TimeDistribution(ABC):
    """A distribution of training times on (t_min, t_max]."""

    @abstractmethod
    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """float64 (n,) times on the generator's device."""

    def check(self, process: Process) -> None:
        """Raise UsageError where this distribution makes no sense on `process`."""


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    """n draws in (0, 1], never 0: at t = 0 there is nothing to learn and X0 has no determinant."""
    return 1 - torch.rand(n, generator=generator, device=generator.device).double()


def _stretch(u: Tensor, process: Process) -> Tensor:
    """u in (0, 1] stretched over (t_min, t_max]."""
    return process.t_min + (process.t_max - process.t_min) * u


@dataclass(frozen=True)
class UniformTimes(TimeDistribution):
    """Every time equally likely: the chapter's amounts.

    References: Lipman et al. 2023, flow matching, https://arxiv.org/abs/2210.02747
    """

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """Uniform on (t_min, t_max]."""
        return _stretch(_uniform(n, generator), process)


@dataclass(frozen=True)
class StratifiedTimes(TimeDistribution):
    """One uniform draw in each of n equal slices: the same distribution with less variance of the loss.

    Kingma et al. share one draw among all slices; here each has its own.

    References: Kingma et al. 2021, VDM, https://arxiv.org/abs/2107.00630
    """

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """(i + u_i) / n, stretched over (t_min, t_max]."""
        u = _uniform(n, generator)
        return _stretch((torch.arange(n, device=u.device) + u) / n, process)


@dataclass(frozen=True)
class LogitNormal(TimeDistribution):
    """sigmoid(mean + std z), z normal: most draws at middle noise.

    References: Esser et al. 2024, section 3.1, https://arxiv.org/abs/2403.03206
    """

    mean: float = 0.0
    std: float = 1.0

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """Logit-normal on (t_min, t_max)."""
        z = torch.randn(n, generator=generator, device=generator.device).double()
        return _stretch(torch.sigmoid(self.mean + self.std * z), process)


@dataclass(frozen=True)
class LogNormal(TimeDistribution):
    """ln (sigma / alpha) normal: EDM's distribution of noise levels, on any process.

    References: Karras et al. 2022, table 1, https://arxiv.org/abs/2206.00364
    """

    mean: float = -1.2
    std: float = 1.2

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """The times at which sigma / alpha is exp(mean + std z), clipped to [t_min, t_max]."""
        z = torch.randn(n, generator=generator, device=generator.device).double()
        return process.time_at_log_snr(-2 * (self.mean + self.std * z)).clamp(min=process.t_min)


@dataclass(frozen=True)
class DiscreteTimes(TimeDistribution):
    """k uniform in 1..T: DDPM's table, entry by entry.

    References: Ho et al. 2020, DDPM, algorithm 1, https://arxiv.org/abs/2006.11239
    """

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """Integers 1..T as float64."""
        return torch.randint(1, int(process.t_max) + 1, (n,), generator=generator, device=generator.device).double()

    def check(self, process: Process) -> None:
        """Only where t is an entry of a table."""
        if not isinstance(process, VP):
            raise UsageError(
                "times 'discrete' draws entries of a table, so it needs process 'vp'; choose another distribution"
            )


@dataclass(frozen=True)
class ShiftedTimes(TimeDistribution):
    """Another distribution's times, moved to `shift` times their noise level sigma / alpha: for larger images.

    The more pixels show the same thing, the more noise hides it: with twice as many on each side, twice as much.

    References: Hoogeboom et al. 2023, simple diffusion, section 3.1, https://arxiv.org/abs/2301.11093; Esser et al.
    2024, section 5.3.2, https://arxiv.org/abs/2403.03206
    """

    times: TimeDistribution
    shift: float

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """The times at which ln SNR is that of a draw minus 2 ln shift."""
        t = self.times.sample(n, process, generator)
        return process.time_at_log_snr(process.log_snr(t) - 2 * math.log(self.shift)).clamp(min=process.t_min)

    def check(self, process: Process) -> None:
        """What the other distribution checks, and that it has levels between the entries of a table."""
        self.times.check(process)
        if isinstance(self.times, DiscreteTimes):
            raise UsageError(
                "times 'discrete' are entries of a table, which cannot be shifted; set objective.time_shift=1"
            )


TIME_DISTRIBUTIONS: dict[str, TimeDistribution] = {
    "uniform": UniformTimes(),
    "stratified": StratifiedTimes(),
    "logit_normal": LogitNormal(),
    "logit_normal_high": LogitNormal(mean=0.5),  # more noise, where layout and colours are decided
    "log_normal": LogNormal(),
    "discrete": DiscreteTimes(),
}
