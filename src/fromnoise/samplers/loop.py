"""The one loop that every sampler runs in. It yields each step; the caller draws, stops and records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.denoiser import Estimate, Estimator
from fromnoise.errors import UsageError
from fromnoise.process import Process
from fromnoise.samplers.base import Carry, Sampler
from fromnoise.seeds import generator


@dataclass(frozen=True)
class Step:
    """One step of sampling, i = 0..n-1: from t to s, x (B, C, H, W) at s, and the estimate that was made at t."""

    i: int
    t: float
    s: float
    x: Tensor
    estimate: Estimate


def start_noise(process: Process, shape: tuple[int, ...], seeds: Sequence[int]) -> Tensor:
    """The noise that each picture starts from, float32 (B, C, H, W): picture i from seeds[i] alone."""
    return torch.stack([process.prior.sample(shape, generator(0, "sample", s)) for s in seeds])


def starting_point(process: Process, noise: Tensor) -> Tensor:
    """x at t_max: sigma(t_max) times the noise (alpha(t_max) x0 is taken as 0)."""
    _, sigma = process.scales(torch.tensor([process.t_max], dtype=torch.float64))
    return noise * float(sigma)


def sample(
    denoiser: Estimator,
    *,
    seeds: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    x: Tensor | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Step]:
    """Walk x from noise to images along `grid`, float64 (n + 1,) falling to 0; yields n Steps.

    seeds: one a picture, for the noise it starts from (unless x (B, C, H, W) at grid[0] is given) and for any
    fresh noise on the way. label: int64 (B,) or None. Raises UsageError for a grid that does not fall, and for
    a stochastic sampler on a prior that is not normal.
    """
    process = denoiser.process
    sampler.check(process)
    if len(grid) < 2 or not bool((grid[1:] < grid[:-1]).all()):
        raise UsageError("the grid of times must fall strictly and have at least two entries; give it from high to low")
    if x is None:
        x = starting_point(process, start_noise(process, denoiser.spec.shape, seeds))
    x = x.to(device)
    label = None if label is None else label.to(device)
    shape = tuple(x.shape[1:])
    carry: Carry = None
    for i in range(len(grid) - 1):
        t, s = (grid[j].repeat(len(x)) for j in (i, i + 1))

        def fresh(i: int = i) -> Tensor:
            draws = [process.prior.sample(shape, generator(0, "fresh noise", i, seed)) for seed in seeds]
            return torch.stack(draws).to(device)

        with torch.no_grad():
            x, estimate, carry = sampler.step(lambda x, t: denoiser(x, t, label), process, x, t, s, carry, fresh)
        yield Step(i, float(grid[i]), float(grid[i + 1]), x, estimate)
