"""Curves: the loss while training, the loss beside samples, quality against steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fromnoise.common.errors import UsageError
from fromnoise.figures import style
from fromnoise.figures.encode import POINTS_PER_INCH, SHARPNESS
from fromnoise.figures.grid import grid
from fromnoise.figures.scaling import Images
from fromnoise.figures.smoothing import DRAWABLE, running_mean, sensible_top, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 7.2, 4.1
_TITLE = "Training loss"
_MOST_LABELLED_EPOCHS = 12
_SMOOTHED_FROM = 20  # losses, of which the running mean is drawn too
_SAMPLES_SIDE = 740
_SHARP = POINTS_PER_INCH * SHARPNESS


def loss_curve(
    images_seen: ArrayLike,
    losses: ArrayLike,
    *,
    y_max: float | None = None,
    x_label: str = "images seen",
    epoch_marks: Sequence[float] = (),
    validation: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """The loss against images seen (or steps): every value faint, their running mean on top.

    Arguments:
        images_seen, losses: (N,); values that are not finite are left out.
        y_max: the top of the axis, which starts at 0; found from what follows the first steps when not given.
        epoch_marks: where epochs end, in units of images_seen.
        validation: images seen and loss on validation images, (M,) and (M,), drawn as points and their line.

    Raises:
        UsageError: when lengths differ.
    """
    figure = style.new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_subplot()
    if validation is None or not np.size(validation[0]):
        _draw_loss(axes, images_seen, losses, y_max, _TITLE, x_label, epoch_marks)
        return style.settled(figure)
    seen, values = _pair(*validation, "validation")
    if y_max is None:  # a rise at the end must be seen, the first steep fall need not
        late = values[len(values) // 2 :]
        y_max = max(sensible_top(losses), 1.1 * float(np.max(late[np.isfinite(late)], initial=0.0)))
    _draw_loss(axes, images_seen, losses, y_max, _TITLE, x_label, epoch_marks)
    training = axes.lines[1 if np.size(losses) >= _SMOOTHED_FROM else 0]
    # The last point lies on the edge, and is drawn whole where no other would be drawn outside.
    inside = bool((values <= y_max).all() and (seen <= axes.get_xlim()[1]).all())
    drawing: dict[str, Any] = {
        "marker": style.MARKERS[1],
        "markersize": 5.0,
        "markeredgecolor": "white",
        "linewidth": 1.6,
    }
    (line,) = axes.plot(seen, values, color=style.COLOURS[1], clip_on=not inside, zorder=3, **drawing)
    pad = style.legend_above(figure, axes, [training, line], ["training", "validation"])
    style.dress(axes, title=_TITLE, x_label=x_label, y_label="loss", pad=pad)
    return style.settled(figure)


def loss_and_samples(
    losses: ArrayLike,
    images: Images,
    *,
    y_max: float | None = None,
    invert: bool = False,
) -> Figure:
    """The loss by step beside a grid of samples, the chapter's figure for its second network.

    Arguments:
        losses: (N,).
        images: uint8 (M, H, W, C), each of their pixels a whole number of the PNG's.
    """
    # A figure's pixel is 1 / 200 inch when it is encoded, so these sizes give every image its own pixels exactly.
    drawn = np.asarray(grid(images, invert=invert, side=_SAMPLES_SIDE).convert("RGB"))
    high, wide = drawn.shape[0] / _SHARP, drawn.shape[1] / _SHARP
    left, below, above, between, right, plot = 0.9, 0.72, 0.52, 0.84, 0.14, 4.0
    tall = max(high, 3.2)
    width, height = left + plot + between + wide + right, below + tall + above
    figure = style.new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / width, below / height, plot / width, tall / height))
    _draw_loss(axes, np.arange(1, np.size(losses) + 1), losses, y_max, "Loss", "step", ())
    place = ((left + plot + between) / width, (below + tall - high) / height, wide / width, high / height)
    shown = figure.add_axes(place)
    shown.imshow(drawn, interpolation="nearest", aspect="auto")
    shown.set_title("Samples", loc="left", fontsize=style.TITLE, color=style.INK, pad=10)
    shown.set_axis_off()
    return figure


def lines(
    series: Mapping[str, tuple[ArrayLike, ...]],
    x_label: str,
    y_label: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Named lines through points, such as quality against the number of steps.

    Arguments:
        series: name -> (x, y) or (x, y, err), each (N,); err is drawn as bars of +-err.
        log_x: a logarithmic x axis with ticks at the points themselves; it shows no x of 0 or below.
        log_y: a logarithmic y axis, for positive y.

    Raises:
        UsageError: for no series or lengths that differ.
    """
    if not series:
        raise UsageError("no series was given, but a figure of lines needs at least one; give name -> (x, y)")
    figure = style.new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_subplot()
    handles: list[Any] = []
    for i, (name, points) in enumerate(series.items()):
        x, y = _pair(points[0], points[1], f"series '{name}'")
        err = _pair(x, points[2], f"err of series '{name}'")[1] if len(points) > 2 else None
        colour, marker = style.mark(i)
        drawing: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 5.5,
            "linewidth": 1.8,
            "markeredgecolor": "white",
        }
        handles += axes.plot(x, y, **drawing)
        if err is not None:
            axes.errorbar(x, y, yerr=err, fmt="none", ecolor=colour, elinewidth=1.1, capsize=3, zorder=1.9)
    pad = style.legend_above(figure, axes, handles, list(series)) if len(series) > 1 else 10.0
    style.dress(axes, title=title, x_label=x_label, y_label=y_label, pad=pad)
    if log_x:
        _log_ticks(axes, np.concatenate([np.ravel(points[0]) for points in series.values()]))
    if log_y:
        _log_heights(axes)
    return style.settled(figure)


def _draw_loss(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    y_max: float | None,
    title: str,
    x_label: str,
    epoch_marks: Sequence[float],
) -> None:
    xs, ys = _pair(x, y, "losses")
    style.dress(axes, title=title, x_label=x_label, y_label="loss")
    top = sensible_top(ys) if y_max is None else y_max
    blue = style.COLOURS[0]
    smooth = len(ys) >= _SMOOTHED_FROM
    raw: dict[str, Any] = {"alpha": 0.28, "linewidth": 0.7} if smooth else {"linewidth": 1.2}
    axes.plot(*thinned(xs, ys), color=blue, marker="o" if len(ys) == 1 else None, **raw)
    if smooth:
        mean = running_mean(ys)
        axes.plot(*thinned(xs, mean), color=blue, linewidth=2.0)
        _name_last(axes, float(mean[-1]), top)
    bottom = float(np.min(ys[np.abs(ys) < DRAWABLE], initial=0.0))
    axes.set_ylim(bottom, top)
    if len(xs) > 1 and xs[-1] > min(0.0, xs[0]):
        axes.set_xlim(min(0.0, float(xs[0])), float(xs[-1]))
    style.count_axis(axes.xaxis)
    _mark_epochs(axes, epoch_marks, start=float(xs[0]) if len(xs) else 0.0, top=top)


def _name_last(axes: Axes, value: float, top: float) -> None:
    """The running mean's last value, to the right of its end."""
    if 0 <= value <= top:
        words: dict[str, Any] = {"fontsize": style.SMALL, "color": style.COLOURS[0], "va": "center", "ha": "left"}
        place: dict[str, Any] = {"xytext": (6, 0), "textcoords": "offset points"}
        axes.annotate(f"{value:.3g}", (1.0, value), xycoords=("axes fraction", "data"), **place, **words)


def _mark_epochs(axes: Axes, marks: Sequence[float], start: float, top: float) -> None:
    """A thin line where each epoch ends, with its name before it while names fit."""
    before = min(0.0, start)
    for number, mark in enumerate(marks, start=1):
        axes.axvline(mark, color="#9a9a9a", linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        if len(marks) <= _MOST_LABELLED_EPOCHS:
            words: dict[str, Any] = {"fontsize": style.SMALL, "color": style.QUIET, "ha": "center", "va": "top"}
            words["clip_on"] = True  # a name beyond the last point would leave the plot no space
            axes.text((before + mark) / 2, top * 0.985, f"epoch {number}" if len(marks) < 7 else str(number), **words)
        before = mark


def _pair(x: ArrayLike, y: ArrayLike, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape:
        raise UsageError(f"{name} has shape {ys.shape} over an x of shape {xs.shape}; give two lists of one length")
    return xs, ys


def _log_ticks(axes: Axes, x: NDArray[np.float64]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    positive = x[(x > 0) & np.isfinite(x)]
    if not len(positive):
        return  # nothing has a place on a logarithmic axis
    axes.set_xscale("log")
    points = _apart(np.unique(positive))
    if len(points) <= 12:
        axes.xaxis.set_major_locator(FixedLocator(points))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.short_count(value)))


def _log_heights(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _apart(points: NDArray[np.float64]) -> list[float]:
    """Of rising positive points those whose names fit on a logarithmic axis; the last is always there."""
    space = np.log(points[-1] / points[0]) / 14
    kept = [float(points[-1])]
    for point in points[-2::-1].tolist():
        if np.log(kept[-1] / point) >= space:
            kept.append(point)
    return kept[::-1]
