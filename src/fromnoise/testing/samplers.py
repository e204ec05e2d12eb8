"""What every sampler has to keep; a sign, a letter or an index gone wrong does not get through."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Linear, Process
from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.diffusion.samplers.loop import walk
from fromnoise.diffusion.time_grids import GRIDS, UniformGrid, recommended_grid
from fromnoise.testing.cases import PROCESS_CASES
from fromnoise.testing.expect import expect, expect_close
from fromnoise.testing.oracles import Gaussian, Oracle, Point, TwoPoints
from fromnoise.testing.orders import attained_order, nominal_order, start
from fromnoise.testing.pairs import is_compatible

TOLERANCE = 0.2  # how far an order may lie below what is stated


def check_sampler(sampler: Sampler) -> None:
    """AssertionError where `sampler` breaks a promise on any of PROCESS_CASES that it does not refuse.

    All: pure steps, the stated number of evaluations, finite in one and two steps, samples that do not see each other.
    Deterministic: no fresh noise, a point mass met, the stated order, the flow of a two-point distribution. Stochastic:
    mean and variance of normal images, carried exactly through its affine steps; one stated to be biased has to be.
    """
    name, taken = type(sampler).__name__, 0
    for kind, process in PROCESS_CASES.items():
        if not is_compatible(sampler, process):
            continue
        taken += 1
        where = f"{name} on {kind}"
        _check_step(sampler, process, where)
        _check_few_steps(sampler, process, where)
        _check_batch(sampler, process, where)
        _check_point(sampler, process, where)
        if sampler.stochastic and process.prior.gaussian:
            _check_moments(sampler, process, where)
        elif process.prior.gaussian:
            _check_orders(sampler, process, where)
            _check_two_points(sampler, process, where)
    expect(taken > 0, f"{name}: it refuses every process")


def _middle(process: Process, *levels: float) -> list[Tensor]:
    """The times (2,) of noise levels."""
    return [process.time_at_log_snr(torch.full((2,), level, dtype=torch.float64).log() * -2) for level in levels]


def _check_step(sampler: Sampler, process: Process, where: str) -> None:
    oracle, (t, s) = Gaussian(process), _middle(process, 2.0, 1.0)
    x, drawn_noise = start(oracle, float(t[0])), torch.ones(2, 1, 2, 2, dtype=torch.float64)
    calls: list[tuple[Tensor, Tensor]] = []
    drawn: list[bool] = []

    def estimate(x: Tensor, t: Tensor) -> Estimate:
        calls.append((x, t))
        return oracle(x, t)

    def noise() -> Tensor:
        drawn.append(True)
        return drawn_noise

    before = x.clone()
    first, here, carry = sampler.step(estimate, process, x, t, s, None, noise)
    expect(torch.equal(x, before), f"{where}: a step must not write into x")
    expect(
        len(calls) == sampler.evaluations,
        f"{where}: {len(calls)} evaluations in a step, stated are {sampler.evaluations}",
    )
    expect(
        bool(drawn) == sampler.stochastic, f"{where}: draws fresh noise: {bool(drawn)}, stated is {sampler.stochastic}"
    )
    if not sampler.stochastic:
        expect(torch.equal(calls[0][0], x) and torch.equal(calls[0][1], t), f"{where}: must first evaluate x at t")
        expect(torch.equal(here.x0, oracle(x, t).x0), f"{where}: must give back the estimate made at t")
    again, _, _ = sampler.step(estimate, process, x, t, s, None, noise)
    expect_close(again, first, 0.0, f"{where}: the same step taken twice")
    expect(first.shape == x.shape, f"{where}: x at s has shape {tuple(first.shape)}")
    (later,) = _middle(process, 0.5)
    onward, _, _ = sampler.step(estimate, process, first, s, later, carry, noise)
    again, _, _ = sampler.step(estimate, process, first, s, later, carry, noise)
    expect_close(again, onward, 0.0, f"{where}: a step changes what it was handed from the step before")


def _end(sampler: Sampler, oracle: Oracle | _Watched, grid: Tensor, x: Tensor) -> Tensor:
    *_, last = walk(oracle, x, seeds=range(len(x)), sampler=sampler, grid=grid)
    return last.x


class _Watched:
    """An oracle that notes the least time at which it is evaluated."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.earliest = oracle, float("inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle, name)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        self.earliest = min(self.earliest, float(t.min()))
        return self.oracle(xt, t, label)


def _check_few_steps(sampler: Sampler, process: Process, where: str) -> None:
    oracle = _Watched(Gaussian(process) if process.prior.gaussian else TwoPoints(process))
    for grid in (UniformGrid(), GRIDS[recommended_grid(process)]):
        for steps in (1, 2, 3):
            end = _end(sampler, oracle, grid(process, steps), start(oracle.oracle, process.t_max))
            expect(bool(end.isfinite().all()), f"{where}: {steps} steps on {grid} end in values that are not finite")
    least = oracle.earliest  # a network was never trained below t_min
    expect(least >= process.t_min * (1 - 1e-6), f"{where}: evaluates at t = {least:g}, below t_min = {process.t_min:g}")


def _check_batch(sampler: Sampler, process: Process, where: str) -> None:
    oracle, grid = Point(process), GRIDS[recommended_grid(process)](process, 4)
    x = torch.arange(12, dtype=torch.float64).view(3, 1, 2, 2) / 12 * oracle.scales(process.t_max)[1]
    alone = [list(walk(oracle, x[i : i + 1], seeds=[i], sampler=sampler, grid=grid))[2].x for i in range(3)]
    together = list(walk(oracle, x, seeds=range(3), sampler=sampler, grid=grid))[2].x
    expect_close(torch.cat(alone), together, 1e-9, f"{where}: a sample depends on its neighbours in the batch")


def _check_point(sampler: Sampler, process: Process, where: str) -> None:
    """One image: steps in ln SNR or the level are exact, as all are on straight paths; others come close."""
    oracle, x = Point(process), start(Point(process), process.t_max)
    exact = sampler.step_variable != "t" or isinstance(process, Linear)
    for steps in (1, 2, 5) if exact else (400,):
        end = _end(sampler, oracle, GRIDS[recommended_grid(process)](process, steps), x)
        within = 1e-7 if exact else 0.02
        expect_close(end, torch.full_like(end, oracle.mean), within, f"{where}: a point mass in {steps} steps")


def _check_orders(sampler: Sampler, process: Process, where: str) -> None:
    nominal = nominal_order(sampler, process)
    expect(
        nominal > sampler.order - TOLERANCE,
        f"{where}: given exact first steps, its order on a grid even in its own variable is {nominal:.2f}, "
        f"stated is {sampler.order}",
    )
    attained = attained_order(sampler, process, GRIDS[recommended_grid(process)])
    expect(attained > 1 - TOLERANCE, f"{where}: from a cold start its order is {attained:.2f}, expected at least 1")


def _check_two_points(sampler: Sampler, process: Process, where: str) -> None:
    """A distribution that is not normal, between noise levels 5 and 0.5, against its exact flow."""
    oracle = TwoPoints(process)
    (high,), (low,) = (t[:1] for t in _middle(process, 5.0, 0.5))
    levels = torch.linspace(5.0, 0.5, 81, dtype=torch.float64)
    grid = process.time_at_log_snr(-2 * levels.log())
    x = start(oracle, float(high)) + oracle.scales(float(high))[0] * oracle.chance
    end = _end(sampler, oracle, grid, x)
    scale = oracle.scales(float(low))[1]
    expect_close(end / scale, oracle.flow(x, float(high), float(low)) / scale, 0.05, f"{where}: the two-point flow")


def _check_moments(sampler: Sampler, process: Process, where: str) -> None:
    """Mean and variance through affine steps x_s = a x + b z + c, whose numbers are read off three samples."""
    oracle, grid = Gaussian(process), GRIDS[recommended_grid(process)](process, 200)
    x, z = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1, 1) for values in ([0, 1, 0], [0, 0, 1]))
    mean, variance = oracle.moments(float(grid[0]))[0], oracle.moments(float(grid[0]))[1] ** 2
    for i in range(len(grid) - 1):
        moved, _, _ = sampler.step(oracle, process, x, grid[i].repeat(3), grid[i + 1].repeat(3), None, lambda: z)
        shift, by_x, by_z = moved.flatten().tolist()
        by_x, by_z = by_x - shift, by_z - shift
        mean, variance = by_x * mean + shift, by_x**2 * variance + by_z**2
    off = variance**0.5 / oracle.std - 1
    expect(abs(mean - oracle.mean) < 0.02, f"{where}: images of mean {oracle.mean} come out with mean {mean:.3f}")
    if sampler.biased:
        expect(off < -0.1, f"{where}: is stated to be biased, but its standard deviation is right to {off:+.1%}")
    else:
        expect(abs(off) < 0.05, f"{where}: after 200 steps the standard deviation of images is off by {off:+.1%}")
