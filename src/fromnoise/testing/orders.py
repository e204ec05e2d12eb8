"""With which power of the step does a sampler's error fall? Measured, on a distribution whose flow is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.diffusion.samplers.loop import walk
from fromnoise.diffusion.time_grids import TimeGrid
from fromnoise.testing.oracles import Gaussian, Oracle

FEW, MANY = 40, 160


def start(oracle: Oracle, t: float) -> Tensor:
    """Eight values of x at time t that lie two deviations about the mean, float64 (2, 1, 2, 2)."""
    _, sigma = oracle.scales(t)
    return torch.linspace(-2, 2, 8, dtype=torch.float64).view(2, 1, 2, 2) * sigma


def error(sampler: Sampler, oracle: Oracle, grid: Tensor) -> float:
    """The largest difference from the exact flow of the images of `oracle`, from pure noise down `grid`.

    Where the last step but one ends at t_min, as no refinement of the grid changes, the step from there into the clean
    image is taken alike on both sides.
    """
    process = oracle.process
    x, first, last = start(oracle, float(grid[0])), float(grid[0]), float(grid[-2])
    *_, end = walk(oracle, x, seeds=[0, 1], sampler=sampler, grid=grid)
    if math.isclose(last, process.t_min, rel_tol=1e-6) and len(grid) > 2:
        there, t, s = oracle.flow(x, first, last), grid[-2:-1].repeat(2), grid[-1:].repeat(2)
        truth = process.transfer(there, oracle(there, t).x0, t, s)
    else:
        truth = oracle.flow(x, first, 0.0)
    return float((end.x - truth).abs().max())


def attained_order(sampler: Sampler, process: Process, grid: TimeGrid, oracle: Oracle | None = None) -> float:
    """log(error ratio) / log(step ratio) between 40 and 160 steps, from a cold start: no step is given its memory.

    oracle: of the images, on `process`; normal ones, N(0.4, 0.5^2), if not given.
    """
    few, many = (error(sampler, oracle or Gaussian(process), grid(process, steps)) for steps in (FEW, MANY))
    return math.log(few / many) / math.log(MANY / FEW)


def nominal_order(sampler: Sampler, process: Process) -> float:
    """The same between 80 and 160 steps even in the sampler's step variable, its first steps put on the exact flow.

    The stretch is that between noise levels 3 and 0.3, so that no end of the process is touched.
    """
    few, many = (_warm_error(sampler, process, steps) for steps in (80, 160))
    return math.log2(few / many)


def _warm_error(sampler: Sampler, process: Process, steps: int) -> float:
    oracle, grid = Gaussian(process), _even(sampler.step_variable, process, steps)
    x, carry, began = start(oracle, float(grid[0])), None, float(grid[0])
    truth = x

    def never() -> Tensor:
        raise AssertionError(f"{type(sampler).__name__} drew noise, but is stated to be deterministic")

    for i in range(steps):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        x, _, carry = sampler.step(oracle, process, x, t, s, carry, never)
        truth = oracle.flow(start(oracle, began), began, float(grid[i + 1]))
        if i < sampler.order:
            x = truth
    return float((x - truth).abs().max())


def _even(variable: str, process: Process, steps: int) -> Tensor:
    """steps + 1 times from level 3 to level 0.3, even in t, in the level or in ln SNR."""
    ends, ramp = torch.tensor([3.0, 0.3], dtype=torch.float64), torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if variable == "t":
        ends = process.time_at_log_snr(-2 * ends.log())
    elif variable == "log_snr":
        ends = -2 * ends.log()
    even = ends[0] + ramp * (ends[1] - ends[0])
    if variable == "t":
        return even
    return process.time_at_log_snr(even if variable == "log_snr" else -2 * even.log())
