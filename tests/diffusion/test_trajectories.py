"""Points of trajectories against distributions whose flow is a formula: between stops, and as pairs of the loss."""

from itertools import pairwise

import pytest
import torch

from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.samplers.loop import walk
from fromnoise.diffusion.time_grids import LevelGrid, UniformGrid
from fromnoise.diffusion.trajectories import between, implied_noise
from fromnoise.testing import EndPoint, Gaussian, Point
from fromnoise.testing.cases import PROCESS_CASES

NORMAL = {name: process for name, process in PROCESS_CASES.items() if process.prior.gaussian}
over = pytest.mark.parametrize("process", NORMAL.values(), ids=NORMAL)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def times(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


@over
def test_between_two_stops_lies_what_a_step_passes(process):
    t, u, s = times(*LevelGrid()(process, 5)[[1, 2, 3]].tolist())
    xt, x0 = noise(2, 1, 1, 2, 2)
    xs, xu = (process.transfer(xt, x0, t, time) for time in (s, u))
    for time, wanted in ((t, xt), (u, xu), (s, xs)):
        torch.testing.assert_close(between(process, xt, xs, t, s, time), wanted, rtol=0, atol=1e-9)


@over
@pytest.mark.parametrize(("kind", "steps", "within"), [(Point, 2, 1e-9), (Gaussian, 400, 1e-3)])
def test_between_close_stops_lies_the_flow(process, kind, steps, within):
    oracle, grid = kind(process), UniformGrid()(process, steps)
    begin = noise(2, 1, 2, 2) * oracle.scales(process.t_max)[1]
    for i in (0, steps // 2):
        t, s = grid[i : i + 1], grid[i + 1 : i + 2]
        u = (t + s) / 2
        xt, xs, wanted = (oracle.flow(begin, process.t_max, float(time)) for time in (t, s, u))
        torch.testing.assert_close(between(process, xt, xs, t, s, u), wanted, rtol=within, atol=within)


@over
def test_the_noise_of_a_point_and_its_end_makes_the_point(process):
    oracle = Gaussian(process)
    for t in LevelGrid()(process, 4)[:-1].tolist():
        xt, end = noise(2, 1, 2, 2), oracle.flow(noise(2, 1, 2, 2), t, 0.0)
        eps = implied_noise(process, xt, end, *times(t))
        torch.testing.assert_close(process.corrupt(end, eps, *times(t)), xt, rtol=0, atol=1e-9)


@over
@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_a_perfect_consistency_model_samples_the_images(process, steps):
    """x_s = a x + b z + c of each step, read off three samples: mean and variance are exact with fresh noise."""
    oracle, sampler = Gaussian(process), SAMPLERS["renoise"]
    model, grid = EndPoint(oracle), LevelGrid()(process, steps)
    mean, variance = oracle.moments(process.t_max)
    variance **= 2
    x, z = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1, 1) for values in ([0, 1, 0], [0, 0, 1]))
    for t, s in pairwise(grid):
        moved, _, _ = sampler.step(model, process, x, t.repeat(3), s.repeat(3), None, lambda: z)
        shift, by_x, by_z = moved.flatten().tolist()
        mean, variance = (by_x - shift) * mean + shift, (by_x - shift) ** 2 * variance + (by_z - shift) ** 2
    assert mean == pytest.approx(oracle.mean, abs=1e-9) and variance**0.5 == pytest.approx(oracle.std, rel=1e-9)


def test_one_step_of_it_is_the_flow():
    oracle, eps = Gaussian(NORMAL["linear"]), noise(4, 1, 2, 2)
    grid = LevelGrid()(oracle.process, 1)
    (step,) = walk(EndPoint(oracle), eps, seeds=range(4), sampler=SAMPLERS["ddim"], grid=grid)
    torch.testing.assert_close(step.x, oracle.flow(eps, 1.0, 0.0), rtol=0, atol=1e-12)
