"""The one loop that every sampler runs in. It yields each step; the caller draws, stops and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.seeds import generator
from fromnoise.common.text import count
from fromnoise.common.threads import THREADS
from fromnoise.diffusion.denoiser import Estimate, Estimator
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.base import Carry, Sampler


@dataclass(frozen=True)
class Step:
    """Step i = 0..n-1, t to s: x (B, C, H, W) at s, the estimate made at t, and network evaluations so far (NFE)."""

    i: int
    t: float
    s: float
    x: Tensor
    estimate: Estimate
    evaluations: int


def start_noise(process: Process, shape: tuple[int, ...], seeds: Sequence[int]) -> Tensor:
    """The noise that each sample starts from, float32 (B, C, H, W): sample i from seeds[i] alone."""
    return torch.stack([process.prior.sample(shape, generator(0, "sample", s)) for s in seeds])


def fresh_noise(process: Process, shape: tuple[int, ...], seeds: Sequence[int], i: int) -> Tensor:
    """What a stochastic sampler adds in step i, (B, C, H, W).

    A function of (step, seed), not a running generator: sample i is the same in any batch, and after a restart.
    """
    return torch.stack([process.prior.sample(shape, generator(0, "fresh noise", i, s)) for s in seeds])


def starting_point(process: Process, noise: Tensor, t: float) -> Tensor:
    """x at time t: sigma(t) times the noise; what alpha(t) leaves of the image is taken as 0."""
    _, sigma = process.scales(torch.tensor([t], dtype=torch.float64))
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
    """Walk x from noise to images along `grid`; yields a Step for each of its n steps.

    Arguments:
        seeds: one per sample, for the noise it starts from and any fresh noise during sampling.
        grid: float64 (n + 1,), falling to 0.
        label: int64 (B,) or None.
        x: (B, C, H, W) at grid[0], instead of noise.

    Raises:
        UsageError: for a grid that does not fall or is of another process, labels or x that are not one for each seed,
            and a stochastic sampler on a prior that is not normal.
    """
    process = denoiser.process
    if len(grid) < 2 or not bool((grid[1:] < grid[:-1]).all()):
        raise UsageError("the grid of times must fall strictly and have at least two entries; give it from high to low")
    if grid[0] > process.t_max or grid[-1] < 0:
        raise UsageError(
            f"the grid goes from {float(grid[0]):g} to {float(grid[-1]):g}, but the times of {type(process).__name__} "
            f"are 0 to {process.t_max:g}; make it for the process of the denoiser"
        )
    for name, given in (("label", label), ("x", x)):
        if given is not None and len(given) != len(seeds):
            raise UsageError(
                f"{name} is for {count(len(given), 'sample')}, but seeds for {len(seeds)} are given; give one for each"
            )
    if x is None:
        x = starting_point(process, start_noise(process, denoiser.spec.shape, seeds), float(grid[0]))
    return walk(denoiser, x, seeds=seeds, sampler=sampler, grid=grid, label=label, device=device)


def walk(
    denoiser: Estimator,
    x: Tensor,
    *,
    seeds: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    device: str | torch.device = "cpu",
    fresh: Callable[[int], Tensor] | None = None,
) -> Iterator[Step]:
    """The loop itself, from x (B, C, H, W) at grid[0], along a grid that may also rise (from image to noise).

    fresh: the noise (B, C, H, W) that a stochastic sampler adds in step i, instead of that of `seeds`.
    """
    process = denoiser.process
    sampler.check(process)
    x, label = x.to(device), None if label is None else label.to(device)
    shape, evaluations = tuple(x.shape[1:]), 0
    fresh = fresh or partial(fresh_noise, process, shape, seeds)
    carry: Carry = None

    def estimate(x: Tensor, t: Tensor) -> Estimate:
        nonlocal evaluations
        evaluations += denoiser.num_evaluations(t, label)
        return denoiser(x, t, label)

    for i in range(len(grid) - 1):
        t, s = (grid[j].repeat(len(x)) for j in (i, i + 1))

        def noise(i: int = i) -> Tensor:
            return fresh(i).to(device)

        with torch.no_grad():
            x, here, carry = sampler.step(estimate, process, x, t, s, carry, noise)
        THREADS.adapt()
        yield Step(i, float(grid[i]), float(grid[i + 1]), x, here, evaluations)
