"""Trajectories are those of sampling, seed for seed, and come back from the disk as they were."""

import pytest
import torch

from fromnoise.diffusion.editing import img2img
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.diffusion.time_grids import last_steps
from fromnoise.distillation.trajectories import (
    AGAIN,
    FIRST_SEED,
    MOST_STOPS,
    SECOND_SEED,
    kept_points,
    make_trajectories,
    stored_trajectories,
    trajectory_points,
)
from fromnoise.model.build import build_sampling
from fromnoise.model.samples import to_arrays


@pytest.fixture
def model(tiny_run):
    return tiny_run.model(guidance_scale=2.0, guidance_interval=(0.1, 0.9), batch_size=8)


def test_they_end_where_sample_ends_from_the_same_seeds(model):
    samples = model.sample(seeds=range(5, 13))
    points, first, stops = trajectory_points(model, range(5, 13), torch.tensor(samples.labels))
    assert first == 1 and points.shape[1] == kept_points(model) == 2 + len(stops)
    assert (to_arrays(model.spec, points[:, 1]) == samples.images).all()
    noise = start_noise(model.process, model.spec.shape, range(5, 13))
    assert torch.equal(points[:, 0], noise)


def test_second_ones_begin_at_the_samples_under_other_noise_and_are_guided_less(model):
    """With the half of 2 - 1 that guidance adds, as img2img with that guidance walks from the same noise."""
    seeds, labels = range(FIRST_SEED, FIRST_SEED + 4), torch.tensor([0, 1, 2, 3])
    points, _, stops = trajectory_points(model, seeds, labels)
    estimator, sampler, grid = build_sampling(model.with_sampling(guidance_scale=1.5).sampling, model.denoiser)
    again = range(SECOND_SEED, SECOND_SEED + 4)
    edited = img2img(estimator, points[:, 1], strength=AGAIN, seeds=again, sampler=sampler, grid=grid, label=labels)
    assert torch.equal(stops, last_steps(grid, AGAIN)) and stops[-1] == 0 and 0.7 < stops[0] < 1
    for i, step in enumerate(edited, 3):
        assert torch.equal(points[:, i], step.x)


def test_of_many_steps_some_are_kept(model):
    points, _, stops = trajectory_points(model.with_sampling(steps=50), [3], model.labels([3]))
    assert points.shape[1] == 2 + MOST_STOPS and stops[-1] == 0 and (stops.diff() < 0).all()


@pytest.mark.parametrize("steps", [1, 2])
def test_a_second_one_has_a_step_at_least(model, steps):
    points, _, stops = trajectory_points(model.with_sampling(steps=steps), [3], model.labels([3]))
    assert points.shape[1] == 4 and len(stops) == 2 and bool(points.isfinite().all())


def test_the_disk_keeps_them(model, tmp_path):
    seen = []
    made = make_trajectories(model, tmp_path / "kept", most=11, check=seen.append)
    seeds = range(FIRST_SEED + 8, FIRST_SEED + 11)
    wanted, first, stops = trajectory_points(model, seeds, model.labels(seeds))
    assert len(made) == 11 and seen == [0, 8] and made.points.dtype == torch.float16
    assert torch.equal(made.points[8:], wanted.half()) and torch.equal(made.labels[8:], model.labels(seeds))
    again = stored_trajectories(tmp_path / "kept")
    assert torch.equal(again.points, made.points) and torch.equal(again.stops, stops) and again.first == first
    assert again.seconds == made.seconds > 0


def test_what_is_not_whole_is_not_used(model, tmp_path):
    make_trajectories(model, tmp_path, most=4)
    (tmp_path / "points").write_bytes((tmp_path / "points").read_bytes()[:-1])
    assert stored_trajectories(tmp_path) is None
    (tmp_path / "manifest.json").unlink()
    assert stored_trajectories(tmp_path) is None


def test_time_ends_them_but_not_before_the_first(model, tmp_path):
    assert len(make_trajectories(model, tmp_path, most=80, enough=lambda made: True)) == 8
