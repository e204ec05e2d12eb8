"""Figures of a trained model: from a model, images and numbers alone."""

import io

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.report.run_figures import run_figures
from fromnoise.report.run_report import FIGURES
from fromnoise.report.trajectory import ROWS, Trajectory, trajectory_figures


def test_figures_that_need_the_training_images_are_left_out_without_them(tiny_run):
    model = tiny_run.model()
    whole, alone = run_figures(model, tiny_run.data, []), run_figures(model, None, [])
    assert set(whole.figures) - set(alone.figures) == {"corruption", "predictions", "nearest"}
    assert set(whole.figures) <= set(FIGURES) and set(alone.figures) == {"samples", "trajectory"}
    assert len(alone.samples.images) == 64 and sorted(set(alone.samples.labels)) == list(range(10))
    assert np.array_equal(whole.samples.images, alone.samples.images)


def test_curves_come_from_the_metrics(tiny_run):
    found = run_figures(tiny_run.model(), None, tiny_run.folder.read_metrics())
    assert {"loss", "loss-by-noise"} <= set(found.figures)


def test_a_trajectory_ends_at_the_sample(tiny_run):
    model = tiny_run.model(steps=5)
    path = Trajectory.of(model, [3, 7], label=2)
    last = path._parts(4)
    assert list(last) == list(ROWS) and len(path.steps) == 5
    assert np.array_equal(last["x"], model.sample(seeds=[3, 7], label=2).images)


def test_strip_animation_and_steps_have_their_sizes(tiny_run):
    drawn = trajectory_figures(tiny_run.model(steps=12), [0, 1])
    animation = Image.open(io.BytesIO(drawn.animation))
    assert animation.n_frames == 12 and animation.format == "GIF"
    assert drawn.steps.height < drawn.strip.height, "every step unscaled"


def test_an_unknown_class_is_named(tiny_run):
    with pytest.raises(UsageError, match="'x'"):
        trajectory_figures(tiny_run.model(), [0], label="x")
