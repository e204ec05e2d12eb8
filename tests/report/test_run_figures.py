"""Figures of a trained model: from a model, images and numbers alone."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.text import time_words
from fromnoise.diffusion.process import VE, Linear, noise_times
from fromnoise.model.samples import noisy_arrays, to_arrays
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


def test_columns_of_noise_are_shares_of_noise_on_every_process():
    shares = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64)
    assert torch.allclose(noise_times(Linear(), shares), shares)
    assert torch.allclose(noise_times(VE(), shares), torch.tensor([0.0, 1 / 9, 1, 9], dtype=torch.float64))
    assert noise_times(VE(), torch.ones(1, dtype=torch.float64)) == VE().t_max


def test_noise_of_many_times_the_images_is_shown_with_its_contrast():
    spec, noise = ImageSpec(1, 8, 8), torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    shown = noisy_arrays(VE(), spec, 80.0 * noise, 80.0)
    assert np.array_equal(shown, to_arrays(spec, noise * 80 / math.hypot(1, 80)))
    assert ((shown > 0) & (shown < 255)).mean() > 0.5, "neither black nor white"


def test_an_unknown_class_is_named(tiny_run):
    with pytest.raises(UsageError, match="'x'"):
        trajectory_figures(tiny_run.model(), [0], label="x")


@pytest.mark.parametrize(
    ("t", "digits", "words"),
    [(0.8567, 2, "0.86"), (0.8567, 3, "0.857"), (0.0, 2, "0"), (9.96, 2, "10"), (852.4, 2, "852"), (1000.0, 3, "1000")],
)
def test_times_that_are_places_in_a_table_are_whole_numbers(t, digits, words):
    assert time_words(t, digits) == words
