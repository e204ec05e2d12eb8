"""The times at which a sampler stops: falling grids, from pure noise down to the clean image.

A grid of n steps is n + 1 float64 times, t_max first (but for "leading") and 0 last. Two of them space noise levels,
sigma / alpha (EDM's sigma), between those of t_max and t_min; where a process has no end of its own (pure noise, a
clean image), EDM's 80 and 0.002 stand for it. The first stop is t_max all the same.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError, choose
from fromnoise.diffusion.process import VE, Linear, Process
from fromnoise.diffusion.vp import VP

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0  # EDM's, in noise levels sigma / alpha


class TimeGrid(ABC):
    """The times a sampler stops at."""

    @abstractmethod
    def __call__(self, process: Process, steps: int) -> Tensor:
        """float64 (steps + 1,) on the CPU, falling from t_max to 0."""

    def check(self, process: Process) -> None:
        """Raise UsageError where this grid makes no sense on `process`."""


def last_steps(grid: Tensor, share: float) -> Tensor:
    """The end of `grid` that holds `share` of its steps, at least one."""
    steps = len(grid) - 1
    return grid[steps - max(1, math.floor(share * steps + 1e-9)) :]


class _EvenInTime(TimeGrid):
    """A grid whose stops are even in t, or bent from there."""

    def check(self, process: Process) -> None:
        """Not on VE, where t is the noise level: half of even steps are above half of the greatest level."""
        if isinstance(process, VE):
            name = next((name for name, grid in GRIDS.items() if grid == self), type(self).__name__)
            raise UsageError(
                f"grid '{name}' spreads its stops over t, which on process 've' is the noise level itself: the last of "
                f"10 steps would begin at level {float(self(process, 10)[-2]):.2g}; choose 'karras' or 'log_snr'"
            )


@dataclass(frozen=True)
class UniformGrid(_EvenInTime):
    """Equal steps in t: on a linear path the chapter's m = 1 / (n - i).

    References: Liu et al. 2023, rectified flow, https://arxiv.org/abs/2209.03003
    """

    def __call__(self, process: Process, steps: int) -> Tensor:
        """t_max (n - i) / n."""
        return process.t_max * torch.arange(steps, -1, -1, dtype=torch.float64) / steps


class _TableGrid(TimeGrid):
    """A grid whose stops are entries of DDPM's table; name: as in GRIDS."""

    name: ClassVar[str]

    def check(self, process: Process) -> None:
        """Only where t is an entry of a table."""
        if not isinstance(process, VP):
            raise UsageError(f"grid '{self.name}' stops at entries of a table, so it needs process 'vp'; choose 'auto'")

    def _fits(self, process: Process, steps: int) -> None:
        self.check(process)
        if steps > process.t_max:
            raise UsageError(
                f"{steps} steps on a table of {process.t_max:g} entries; ask for at most {process.t_max:g}"
            )


@dataclass(frozen=True)
class TrailingGrid(_TableGrid):
    """Equal steps rounded to entries of the table, T among them: diffusers' "trailing".

    References: Lin et al. 2024, https://arxiv.org/abs/2305.08891
    """

    name = "trailing"

    def __call__(self, process: Process, steps: int) -> Tensor:
        """round(T (n - i) / n)."""
        self._fits(process, steps)
        return UniformGrid()(process, steps).round()


@dataclass(frozen=True)
class LeadingGrid(_TableGrid):
    """Equal whole steps up from entry 1, so that T is not among them: diffusers' "leading", for comparison.

    Sampling begins at a noise level below that of pure noise, as if nothing of the image were left there.

    References: Song et al. 2021, DDIM, https://arxiv.org/abs/2010.02502
    """

    name = "leading"

    def __call__(self, process: Process, steps: int) -> Tensor:
        """1 + (n - 1 - i) floor(T / n), then 0."""
        self._fits(process, steps)
        stride = int(process.t_max) // steps
        stops = 1 + stride * torch.arange(steps - 1, -1, -1, dtype=torch.float64)
        return torch.cat([stops, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class FlowMatchEulerGrid(TimeGrid):
    """From 1 to 1/1000 in equal steps, then 0: the grid of diffusers' FlowMatchEulerDiscreteScheduler.

    References: Esser et al. 2024, https://arxiv.org/abs/2403.03206
    """

    def __call__(self, process: Process, steps: int) -> Tensor:
        """linspace(1, 0.001, n), then 0."""
        stops = torch.linspace(1, 0.001 if steps > 1 else 1, steps, dtype=torch.float64)
        return torch.cat([stops, torch.zeros(1, dtype=torch.float64)])

    def check(self, process: Process) -> None:
        """Only on a straight path."""
        if not isinstance(process, Linear):
            raise UsageError("grid 'flow' is for straight paths, so it needs process 'linear'; choose 'auto'")


def _ends(process: Process) -> tuple[float, float]:
    """The noise levels at t_max and t_min, cut to EDM's range where they are none or boundless."""
    log_snr = process.log_snr(torch.tensor([process.t_max, process.t_min], dtype=torch.float64))
    coarse, fine = (-log_snr / 2).exp().tolist()
    return min(coarse, SIGMA_MAX), fine or SIGMA_MIN


def _through_levels(process: Process, levels: Tensor) -> Tensor:
    """The times of falling noise levels (n,), the first moved to t_max, the last to a t_min above 0, then 0."""
    times = process.time_at_log_snr(-2 * levels.log())
    if process.t_min:  # a bisection ends a last bit above or below it, and below it no network is evaluated
        times[-1] = process.t_min
    times[0] = process.t_max
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class KarrasGrid(TimeGrid):
    """Steps that shorten towards low noise: even in level^(1/rho), then 0.

    References: Karras et al. 2022, eq. 5, https://arxiv.org/abs/2206.00364
    """

    rho: float = 7.0

    def __call__(self, process: Process, steps: int) -> Tensor:
        """level_i = (coarse^(1/rho) + i/(n-1) (fine^(1/rho) - coarse^(1/rho)))^rho for i < n, then 0."""
        high, low = (level ** (1 / self.rho) for level in _ends(process))
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
        return _through_levels(process, (high + ramp * (low - high)) ** self.rho)


@dataclass(frozen=True)
class LogSNRGrid(TimeGrid):
    """Equal steps in ln SNR, the variable in which exponential steps are exact, then 0.

    References: Lu et al. 2022, DPM-Solver, https://arxiv.org/abs/2206.00927
    """

    def __call__(self, process: Process, steps: int) -> Tensor:
        """ln level_i = ln coarse + i/(n-1) ln(fine / coarse) for i < n, then 0."""
        high, low = torch.tensor(_ends(process), dtype=torch.float64).log()
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
        return _through_levels(process, (high + ramp * (low - high)).exp())


@dataclass(frozen=True)
class ShiftedGrid(_EvenInTime):
    """The uniform grid bent towards noise by `shift`, and towards both of its ends by `power`.

    On a linear path the noise levels t / (1 - t) are multiplied by `shift` (3 for large images, whose shape is decided
    at high noise), after they were taken to `power`. Both 1: the uniform grid.

    References: Esser et al. 2024, eq. 23, https://arxiv.org/abs/2403.03206
    """

    shift: float = 3.0
    power: float = 1.0

    def __call__(self, process: Process, steps: int) -> Tensor:
        """t_max shift u^power / ((1 - u)^power + shift u^power) for u = (n - i) / n."""
        u = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
        noise, image = self.shift * u**self.power, (1 - u) ** self.power
        return process.t_max * (noise / (image + noise))  # so that the first is t_max, exactly


@dataclass(frozen=True)
class LevelGrid(TimeGrid):
    """Pure noise, then even noise levels of a straight path from a half down, on any process: for a distilled model.

    Only its first step was matched to the images; later ones noise by half at most, and so keep what that made.

    References: Song et al. 2023, consistency models, https://arxiv.org/abs/2303.01469
    """

    def __call__(self, process: Process, steps: int) -> Tensor:
        """t_max, then fine + 1 / ((1 - u) / u + 1 / (coarse - fine)) for u = (n - i) / (2 (n - 1)), then 0.

        coarse and fine are the levels of t_max and t_min.
        """
        u = torch.arange(steps - 1, 0, -1, dtype=torch.float64) / (2 * max(1, steps - 1))
        ends = torch.tensor([process.t_max, process.t_min], dtype=torch.float64)
        coarse, fine = (-process.log_snr(ends) / 2).exp()
        levels = fine + 1 / ((1 - u) / u + 1 / (coarse - fine))
        times = process.time_at_log_snr(-2 * levels.log())
        return torch.cat([ends[:1], times, torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class CustomGrid(TimeGrid):
    """Times written out one by one."""

    times: tuple[float, ...]

    def __call__(self, process: Process, steps: int) -> Tensor:
        """Those times, whatever `steps` is; UsageError unless they fall from at most t_max to 0."""
        times = torch.tensor(self.times, dtype=torch.float64)
        falls = len(times) > 1 and bool((times[1:] < times[:-1]).all())
        if not falls or times[0] > process.t_max or times[-1] != 0:
            raise UsageError(
                f"the grid {', '.join(f'{t:g}' for t in self.times)} was given, but times must fall strictly from at "
                f"most {process.t_max:g} to 0; write them so"
            )
        return times


GRIDS: dict[str, TimeGrid] = {
    "uniform": UniformGrid(),
    "trailing": TrailingGrid(),
    "leading": LeadingGrid(),
    "flow": FlowMatchEulerGrid(),
    "karras": KarrasGrid(),
    "log_snr": LogSNRGrid(),
    "shifted": ShiftedGrid(),
    "few_steps": ShiftedGrid(2.0, 1.4),  # what docs/recipe.md found best at five
    "levels": LevelGrid(),
}


def recommended_grid(process: Process) -> str:
    """The name of the grid on which the samplers' orders are stated."""
    return "uniform" if isinstance(process, Linear) else "karras"


def grid_named(text: str, process: Process) -> TimeGrid:
    """The grid that `text` names.

    Arguments:
        text: a name of GRIDS, "auto" (the recommended one), or times such as "1,0.5,0".
        process: the process that it is for.

    Raises:
        UsageError: for anything else, and for a grid that makes no sense on `process`.
    """
    parts = text.split(",")
    if len(parts) > 1:
        try:
            return CustomGrid(tuple(float(part) for part in parts))
        except ValueError as error:
            raise UsageError(f"grid '{text}' is not a list of times; write numbers such as 1,0.5,0") from error
    grid = choose("grid", recommended_grid(process) if text == "auto" else text, GRIDS)
    grid.check(process)
    return grid
