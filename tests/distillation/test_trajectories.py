"""Trajectories are those of sampling, seed for seed, and come back from the disk as they were."""

import pytest
import torch

from fromnoise.distillation.trajectories import (
    FIRST_SEED,
    MOST_STOPS,
    make_trajectories,
    stored_trajectories,
    trajectory_points,
)
from fromnoise.model.samples import to_arrays


@pytest.fixture
def model(tiny_run):
    return tiny_run.model(guidance_scale=2.0, guidance_interval=(0.1, 0.9), batch_size=8)


def test_they_end_where_sample_ends_from_the_same_seeds(model):
    samples = model.sample(seeds=range(5, 13), keep_steps=True)
    points, stops = trajectory_points(model, range(5, 13), torch.tensor(samples.labels))
    assert len(stops) == points.shape[1] == model.sampling.steps + 1 and stops[0] == 1 and stops[-1] == 0
    for i, images in enumerate(samples.steps, 1):
        assert (to_arrays(model.spec, points[:, i]) == images).all()
    assert (to_arrays(model.spec, points[:, -1]) == samples.images).all()


def test_of_many_steps_some_are_kept(model):
    points, stops = trajectory_points(model.with_sampling(steps=50), [3], model.labels([3]))
    assert points.shape[1] == MOST_STOPS and stops[0] == 1 and stops[-1] == 0 and (stops.diff() < 0).all()


def test_the_disk_keeps_them(model, tmp_path):
    seen = []
    made = make_trajectories(model, tmp_path / "kept", most=11, check=seen.append)
    seeds = range(FIRST_SEED + 8, FIRST_SEED + 11)
    wanted, stops = trajectory_points(model, seeds, model.labels(seeds))
    assert len(made) == 11 and seen == [0, 8] and made.points.dtype == torch.float16
    assert torch.equal(made.points[8:], wanted.half()) and torch.equal(made.labels[8:], model.labels(seeds))
    again = stored_trajectories(tmp_path / "kept")
    assert torch.equal(again.points, made.points) and torch.equal(again.stops, stops)
    assert again.seconds == made.seconds > 0


def test_what_is_not_whole_is_not_used(model, tmp_path):
    make_trajectories(model, tmp_path, most=4)
    (tmp_path / "points").write_bytes((tmp_path / "points").read_bytes()[:-1])
    assert stored_trajectories(tmp_path) is None
    (tmp_path / "manifest.json").unlink()
    assert stored_trajectories(tmp_path) is None


def test_time_ends_them_but_not_before_the_first(model, tmp_path):
    assert len(make_trajectories(model, tmp_path, most=80, enough=lambda made: True)) == 8
