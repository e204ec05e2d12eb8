"""Curves: what is drawn is what was given, refusals are sentences, and no global state is touched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fromnoise.common.errors import UsageError
from fromnoise.figures.curves import lines, loss_and_samples, loss_curve
from fromnoise.figures.encode import as_image, png_bytes
from fromnoise.figures.grid import grid
from fromnoise.figures.smoothing import running_mean, sensible_top, thinned
from fromnoise.figures.style import short_count


def test_running_mean_is_the_mean_inside_and_keeps_a_constant():
    y = np.arange(100.0)
    assert running_mean(y, 5)[40:90] == pytest.approx(y[40:90])
    assert running_mean(np.full(30, 2.5)) == pytest.approx(np.full(30, 2.5))
    ragged = np.random.default_rng(0).random(60)
    assert running_mean(ragged, 4)[30] == pytest.approx(ragged[26:35].mean())
    assert running_mean(ragged, 4)[59] == pytest.approx(ragged[55:].mean())


def test_running_mean_leaves_out_what_is_not_finite():
    y = np.ones(50)
    y[[10, 20]] = np.nan, np.inf
    assert running_mean(y, 3) == pytest.approx(np.ones(50))
    assert np.isnan(running_mean([np.nan, np.nan], 1)).all()


def test_thinning_keeps_spikes_and_short_series():
    y = np.zeros(100_000)
    y[77_777] = 9.0
    x, kept = thinned(np.arange(100_000), y, 1000)
    assert len(kept) <= 1000 and kept.max() == 9.0 and x[kept.argmax()] == 77_777
    assert (np.diff(x) > 0).all()
    assert thinned([1, 2], [3, 4])[1].tolist() == [3, 4]


def test_the_top_of_a_loss_axis_ignores_the_first_steps():
    y = np.concatenate([np.full(20, 50.0), np.full(980, 0.2)])
    assert 0.2 < sensible_top(y) < 0.4
    assert sensible_top([]) == sensible_top([np.nan]) == sensible_top([1.7e308, 1.7e308]) == 1.0


def test_loss_curve_draws_raw_and_smooth_from_zero_to_y_max():
    losses = 0.02 + 0.5 / np.arange(1, 301)
    figure = loss_curve(np.arange(1, 301) * 128, losses, y_max=0.1, epoch_marks=[19200, 38400])
    (axes,) = figure.axes
    raw, smooth = axes.lines[:2]
    assert np.asarray(raw.get_ydata()) == pytest.approx(losses)
    assert np.asarray(smooth.get_ydata()) == pytest.approx(running_mean(losses))
    assert axes.get_ylim() == (0.0, 0.1)
    assert len(axes.lines) == 4
    assert [text.get_text() for text in axes.texts if "epoch" in text.get_text()] == ["epoch 1", "epoch 2"]


@pytest.mark.parametrize("losses", [[], [0.5], [np.nan, np.nan], [0.1, np.inf, 0.2], [-1.0, -2.0, 3.0]])
def test_a_loss_curve_can_always_be_drawn(losses):
    assert as_image(loss_curve(range(len(losses)), losses)).size == (1440, 820)


def test_samples_beside_the_loss_keep_their_pixels(pictures):
    images = pictures(64, height=28, width=28)
    drawn = np.asarray(as_image(loss_and_samples(np.linspace(0.3, 0.02, 50), images, y_max=0.1)))
    expected = np.asarray(grid(images).convert("RGB"))
    row = expected[300]
    starts = [
        x for x in range(drawn.shape[1] - len(row) + 1) if (drawn[404, x : x + 60] == row[:60]).all()
    ]  # 404 = 300 + the 0.52 inches above
    assert any((drawn[104 : 104 + len(expected), x : x + len(row)] == expected).all() for x in starts)


def test_lines_hold_the_points_and_the_bars():
    x, y = [1, 5, 40], [0.2, 0.7, 0.9]
    figure = lines({"a": (x, y), "_$b$": (x, y, [0.1, 0.1, 0.1])}, "steps", "share", "A & B", log_x=True)
    (axes,) = figure.axes
    assert axes.lines[0].get_xdata().tolist() == x and axes.lines[0].get_ydata().tolist() == y
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "5", "40"]
    assert [text.get_text().strip() for text in axes.get_legend().get_texts()] == ["a", r"_\$b\$"]
    assert len(axes.collections) == 1
    assert len(png_bytes(figure)) > 1000


@pytest.mark.parametrize(
    ("x", "scale", "ticks"), [([0.0, 0.01], "log", ["0.01"]), ([-1, 2, 4], "log", ["2", "4"]), ([0, 0], "linear", None)]
)
def test_what_has_no_place_on_a_logarithmic_axis_is_left_out(x, scale, ticks):
    (axes,) = lines({"a": (x, x)}, "x", "y", "t", log_x=True).axes
    assert axes.get_xscale() == scale
    assert ticks is None or [tick.get_text() for tick in axes.get_xticklabels()] == ticks


def test_lines_far_apart_are_told_apart_on_a_logarithmic_axis():
    (axes,) = lines({"a": ([1, 2], [0.7, 133])}, "x", "y", "t", log_y=True).axes
    assert axes.get_yscale() == "log"
    assert {"1", "10", "50", "100"} <= {tick.get_text() for tick in axes.get_yticklabels()}


def test_lines_use_a_colour_and_a_marker_each():
    figure = lines({str(i): ([1, 2], [i, i]) for i in range(12)}, "x", "y", "t")
    drawn = [(line.get_color(), line.get_marker()) for line in figure.axes[0].lines]
    assert len(set(drawn)) == 12, "a pair of their own"
    colours, markers = zip(*drawn[:7], strict=True)
    assert len(set(colours)) == len(set(markers)) == 7, "the first ones differ in both"


@pytest.mark.parametrize(
    "draw, named",
    [
        (lambda: loss_curve([1, 2], [1]), r"losses.*\(1,\).*\(2,\)"),
        (lambda: lines({}, "x", "y", "t"), "at least one"),
        (lambda: lines({"a": ([1], [1, 2])}, "x", "y", "t"), r"'a'.*\(2,\).*\(1,\)"),
    ],
)
def test_curve_without_matching_values_is_refused(draw, named):
    with pytest.raises(UsageError, match=named):
        draw()


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0"), (400, "400"), (1250, "1,250"), (60_000, "60k"), (2.5e6, "2.5M")]
)
def test_counts_are_short(count, words):
    assert short_count(count) == words


def test_pyplot_is_never_loaded_and_the_room_loads_no_slow_library():
    code = """
import sys
import numpy as np
from fromnoise.figures import animation, curves, encode, grid, image_rows
from fromnoise.report import html
slow = {"matplotlib", "torch", "diffusers", "sklearn"} & set(sys.modules)
image_rows.rows([("a", np.zeros((2, 4, 4, 1), np.uint8))])
assert not slow and "matplotlib" not in sys.modules, slow
encode.png_bytes(curves.loss_curve([1, 2], [1, 2]))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
