"""Trajectories are those of sampling, seed for seed, and come back from the disk as they were."""

import itertools

import pytest
import torch

from fromnoise.diffusion.editing import img2img
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.diffusion.time_grids import last_steps
from fromnoise.diffusion.vp import VPLinear
from fromnoise.distillation import trajectories
from fromnoise.distillation.trajectories import (
    AGAIN,
    FIRST_SEED,
    HIGHEST,
    LOWEST,
    MOST_STOPS,
    SECOND_SEED,
    TOGETHER,
    kept_points,
    make_trajectories,
    second_grid,
    second_level,
    stored_trajectories,
    trajectory_points,
)
from fromnoise.model.build import build_sampling
from fromnoise.model.samples import to_arrays
from fromnoise.settings import SampleOptions


@pytest.fixture
def model(tiny_run):
    return tiny_run.model(guidance_scale=2.0, guidance_interval=(0.1, 0.9), batch_size=8)


def test_they_end_where_sample_ends_from_the_same_seeds(model):
    samples = model.sample(seeds=range(5, 13))
    points, first, stops = trajectory_points(model, range(5, 13), torch.tensor(samples.labels), 0.5)
    assert first == 1 and points.shape[1] == kept_points(model) == 2 + len(stops)
    assert (to_arrays(model.spec, points[:, 1]) == samples.images).all()
    noise = start_noise(model.process, model.spec.shape, range(5, 13))
    assert torch.equal(points[:, 0], noise)


def test_second_ones_begin_at_the_samples_under_other_noise_and_are_guided_less(model):
    """With the half of 2 - 1 that guidance adds, as img2img with that guidance walks from the same noise and level."""
    seeds, labels = range(FIRST_SEED, FIRST_SEED + 4), torch.tensor([0, 1, 2, 3])
    estimator, sampler, grid = build_sampling(model.with_sampling(guidance_scale=1.5).sampling, model.denoiser)
    alpha, sigma = model.process.scales(last_steps(grid, AGAIN)[0])
    points, _, stops = trajectory_points(model, seeds, labels, float(sigma / (alpha + sigma)))
    again = range(SECOND_SEED, SECOND_SEED + 4)
    edited = img2img(estimator, points[:, 1], strength=AGAIN, seeds=again, sampler=sampler, grid=grid, label=labels)
    torch.testing.assert_close(stops, last_steps(grid, AGAIN), rtol=0, atol=1e-12)
    for i, step in enumerate(edited, 3):
        torch.testing.assert_close(points[:, i], step.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("process", "grid"),
    [(Linear(), "few_steps"), (VPLinear(), "trailing"), (VPLinear(), "karras"), (VE(), "karras")],
    ids=["linear", "vp", "vp karras", "ve"],
)
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_second_ones_fall_from_the_level_that_is_asked_for(process, grid, steps):
    for level in (LOWEST, 0.5, HIGHEST):
        stops = second_grid(process, SampleOptions(grid=grid, steps=steps), level)
        alpha, sigma = process.scales(stops[0])
        assert float(sigma / (alpha + sigma)) == pytest.approx(level)
        assert bool((stops.diff() < 0).all()) and stops[-1] == 0 and stops[-2] >= process.t_min * (1 - 1e-9)


def test_second_ones_begin_below_the_noise_of_a_process_that_has_less():
    process = VPLinear(steps=250)
    alpha, sigma = process.scales(torch.tensor(process.t_max))
    assert float(sigma / (alpha + sigma)) < 0.8, "this case is about the levels between it and HIGHEST"
    stops = second_grid(process, SampleOptions(grid="karras", steps=20), HIGHEST)
    assert stops[0] < process.t_max and bool((stops.diff() < 0).all())


def test_batches_begin_second_ones_at_levels_that_lie_evenly():
    for count in (3, 10, 50):
        levels = sorted([LOWEST, HIGHEST, *(second_level(TOGETHER * batch) for batch in range(count))])
        gaps = [high - low for low, high in itertools.pairwise(levels)]
        assert levels[0] == LOWEST and levels[-1] == HIGHEST and max(gaps) < 2 * (HIGHEST - LOWEST) / count


def test_of_many_steps_some_are_kept(model):
    points, _, stops = trajectory_points(model.with_sampling(steps=50), [3], model.labels([3]), 0.5)
    assert points.shape[1] == 2 + MOST_STOPS and stops[-1] == 0 and (stops.diff() < 0).all()


@pytest.mark.parametrize("steps", [1, 2])
def test_a_second_one_has_a_step_at_least(model, steps):
    points, _, stops = trajectory_points(model.with_sampling(steps=steps), [3], model.labels([3]), 0.5)
    assert points.shape[1] == 4 and len(stops) == 2 and bool(points.isfinite().all())


def test_the_disk_keeps_them(model, tmp_path):
    seen = []
    made = make_trajectories(model, tmp_path / "kept", most=11, check=seen.append)
    seeds = range(FIRST_SEED + 8, FIRST_SEED + 11)
    wanted, first, stops = trajectory_points(model, seeds, model.labels(seeds), second_level(8))
    assert len(made) == 11 and seen == [0, 8] and made.points.dtype == torch.float16
    assert torch.equal(made.points[8:], wanted.half()) and torch.equal(made.labels[8:], model.labels(seeds))
    again = stored_trajectories(tmp_path / "kept")
    assert (
        torch.equal(again.points, made.points)
        and torch.equal(again.stops[8:], stops.repeat(3, 1))
        and again.first == first
    )
    assert again.seconds == made.seconds > 0


def test_what_is_not_whole_is_not_used(model, tmp_path):
    make_trajectories(model, tmp_path, most=4)
    (tmp_path / "points").write_bytes((tmp_path / "points").read_bytes()[:-1])
    assert stored_trajectories(tmp_path) is None
    (tmp_path / "manifest.json").unlink()
    assert stored_trajectories(tmp_path) is None


def test_time_ends_them_but_not_before_the_first(model, tmp_path):
    assert len(make_trajectories(model, tmp_path, most=80, enough=lambda made: True)) == 8


def test_how_many_are_made_at_once_does_not_change_them(model, monkeypatch, tmp_path):
    monkeypatch.setattr(trajectories, "TOGETHER", 8)
    wanted = make_trajectories(model.with_sampling(batch_size=8), tmp_path / "8", most=16)
    for size in (3, 64):
        made = make_trajectories(model.with_sampling(batch_size=size), tmp_path / str(size), most=16)
        assert torch.equal(made.stops, wanted.stops) and len(made.stops.unique(dim=0)) == 2
        torch.testing.assert_close(made.points, wanted.points, rtol=0, atol=2e-3)
