"""How time and memory grow with pixels, width and batch: the default recipe, and networks with attention beside it.

    python benchmarks/scaling.py

Random images, no data needed. Every point is a training step in a fresh process, so that its peak memory is its own;
the machine should do nothing else. Writes docs/results/scaling.json, .md and .png (scaling-cuda on such a GPU).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, short, spread, table, with_range
from stepping import engine, flops_per_image, peak_memory, random_images, stepper, timed

from fromnoise.common.files import write_bytes
from fromnoise.figures import style as look
from fromnoise.figures.encode import png_bytes
from fromnoise.train.hardware import choose_device

CHANNELS, TURNS = 3, 3
SUPERLINEAR = 1.1


@dataclass(frozen=True)
class Point:
    """One size: images of side x side pixels, `batch` of them a step. width: channels, 0 for the recipe's choice."""

    kind: str
    side: int
    width: int
    batch: int

    def along(self, axis: str) -> int:
        """Where the point lies on an axis."""
        return self.side**2 if axis == "pixels" else getattr(self, axis)

    def moved(self, axis: str, value: int) -> Point:
        """The point with another width or batch; on the axis of pixels `value` is a side."""
        changes: dict[str, Any] = {"side" if axis == "pixels" else axis: value}
        return replace(self, **changes)


@dataclass(frozen=True)
class Series:
    """A network through whose usual size, `at`, some axes are walked."""

    about: str
    at: Point
    axes: Mapping[str, Sequence[int]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    attends: bool = False


SIDES = (16, 32, 64, 128)
SERIES = {
    "U-Net": Series(
        "the default recipe's network, width 32",
        Point("unet", 32, 32, 32),
        {"pixels": SIDES, "width": (16, 24, 32, 48, 64), "batch": (8, 16, 32, 64, 128, 256)},
    ),
    "default": Series("the same, as wide as the recipe makes it", Point("unet", 32, 0, 32), {"pixels": SIDES}),
    "DiT": Series(
        "our transformer, width 64, 4 blocks",
        Point("dit", 32, 64, 8),
        {"pixels": SIDES, "width": (32, 64, 128), "batch": (8, 32, 128)},
        {"net.depth": 4},
        attends=True,
    ),
    "UNet2DModel": Series(
        "diffusers', three levels, attention at two", Point("unet2d", 32, 0, 2), {"pixels": SIDES}, attends=True
    ),
}


def walked(series: Mapping[str, Series]) -> list[tuple[str, str, Point]]:
    """(series, axis, point) of all that is to be measured."""
    return [
        (name, axis, one.at.moved(axis, value))
        for name, one in series.items()
        for axis, values in one.axes.items()
        for value in values
    ]


def measure(point: Point, settings: Mapping[str, Any], device: str, seconds: float) -> dict[str, Any]:
    """What a training step of `point` costs; memory_mb is what it takes beyond torch and the images."""
    data = random_images(point.batch, CHANNELS, point.side)
    before = 0.0 if device.startswith("cuda") else peak_memory(device)
    size = {"net.kind": point.kind, "train.train_batch_size": point.batch, **settings}
    trainer = engine(data, "default-base", size | ({"net.width": point.width} if point.width else {}), device)
    step = stepper(trainer)
    flops = flops_per_image(step)
    turns = [timed(step, seconds / TURNS, device) for _ in range(TURNS)]
    return {
        "ms_per_step": spread([1e3 * turn["seconds"] / turn["steps"] for turn in turns]),
        "memory_mb": peak_memory(device) - before,
        "mflop_per_image": flops / 1e6,
        "parameters": sum(p.numel() for p in trainer.net.parameters()),
        "folded": getattr(trainer.net, "fold", getattr(trainer.net, "patch", 1)),
    }


def elsewhere(name: str, point: Point, device: str, seconds: float) -> dict[str, Any]:
    """`measure` in a fresh process."""
    words = [sys.executable, __file__, "--device", device, "--seconds", str(seconds)]
    words += ["--point", json.dumps({"series": name, **asdict(point)})]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The a of y ~ x^a that fits best, in logarithms."""
    return statistics.linear_regression([math.log(v) for v in x], [math.log(v) for v in y]).slope


def growth(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each curve how time, memory and arithmetic grow: exponents over all points, and over the last two."""
    found = []
    for curve in curves:
        x = [point["x"] for point in curve["points"]]
        y = {
            "time": [point["ms_per_step"]["median"] for point in curve["points"]],
            "memory": [max(0.1, point["memory_mb"]) for point in curve["points"]],
            "flop": [point["mflop_per_image"] * point["batch"] for point in curve["points"]],
        }
        fits = {what: {"all": exponent(x, v), "last": exponent(x[-2:], v[-2:])} for what, v in y.items()}
        found.append({"series": curve["series"], "axis": curve["axis"], **fits})
    return found


def steep(grown: Sequence[Mapping[str, Any]]) -> str:
    """The sentences that name where time grows faster than what is turned, and why."""
    found = [one for one in grown if one["time"]["last"] > SUPERLINEAR]
    if not found:
        return "Between the last two points no step's time grows more than linearly."
    named = "; ".join(f"{one['series']} with {one['axis']} (power {one['time']['last']:.2f})" for one in found)
    sentences = [f"Between the last two points time grows more than linearly here: {named}."]
    attention = [one["series"] for one in found if one["axis"] == "pixels" and SERIES[one["series"]].attends]
    if attention:
        sentences.append(
            f"With pixels that is attention ({', '.join(attention)}): every position looks at every other."
        )
    if any(one["axis"] == "width" for one in found):
        sentences.append("With width it has to be: a convolution from w to w channels costs w squared.")
    return " ".join(sentences)


def page(found: Mapping[str, Any], figure: str) -> str:
    """The page in Markdown."""
    grown = [
        [
            one["series"],
            one["axis"],
            *(f"{one[what][end]:.2f}" for what in ("time", "memory") for end in ("all", "last")),
        ]
        for one in found["growth"]
    ]
    points = table(
        ["network", "side", "width", "batch", "folded by", "ms a step", "images/s", "memory", "MFLOP an image"],
        [_row(curve["series"], point) for curve in found["curves"] for point in curve["points"]],
    )
    about = "; ".join(f"{name}: {one.about}" for name, one in SERIES.items())
    exponents = ["network", "axis", "time", "last two points", "memory", "last two points"]
    return (
        f"# How time and memory grow\n\n`{found['command']}`, on {in_words(found['machine'])}.\n\nTraining steps of "
        f"our engine on random images with {CHANNELS} channels, each point in a fresh process: the median of {TURNS} "
        "turns (least to most in brackets), and the peak of memory above what torch and the images took before (on a "
        f"GPU: what torch allocated there). {about}.\n\n![time and memory]({figure})\n\n"
        f"{steep(found['growth'])} Our networks fold pixels into channels (column `folded by`, pixels along a side), "
        "more of them in larger images: so their cost can stay where it is while pixels grow, and a wider network is "
        f"to make up for it.\n\nPowers that fit, time ~ pixels^a and so on:\n\n{table(exponents, grown)}\n\n{points}\n"
    )


def _row(series: str, point: Mapping[str, Any]) -> list[str]:
    time = point["ms_per_step"]
    return [
        series,
        str(point["side"]),
        str(point["width"] or "its own"),
        str(point["batch"]),
        str(point["folded"]),
        with_range(time),
        short(1e3 * point["batch"] / time["median"]),
        f"{short(point['memory_mb'])} MB",
        short(point["mflop_per_image"]),
    ]


def plot(curves: Sequence[Mapping[str, Any]]) -> Any:
    """Time above, memory below, an axis a column, all logarithmic."""
    figure = look.new_figure(10.8, 6.2)
    columns = {"pixels": "pixels of an image", "width": "channels", "batch": "images a step"}
    rows: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "ms an image": lambda p: p["ms_per_step"]["median"] / p["batch"],
        "MB": lambda p: max(0.1, p["memory_mb"]),
    }
    grid = figure.subplots(len(rows), len(columns), sharex="col", sharey="row")
    names = list(SERIES)
    for line, (unit, value) in zip(grid, rows.items(), strict=True):
        for axes, (axis, words) in zip(line, columns.items(), strict=True):
            drawn = [curve for curve in curves if curve["axis"] == axis]
            for curve in drawn:
                colour, marker = look.mark(names.index(curve["series"]))
                x, y = [p["x"] for p in curve["points"]], [value(p) for p in curve["points"]]
                marks = {"color": colour, "marker": marker, "markersize": 5}
                axes.plot(x, y, label=curve["series"], linewidth=1.8, **marks)
            last = line is grid[-1]
            title = "" if last else f"by {axis}"
            look.dress(axes, title=title, x_label=words if last else "", y_label=unit if axis == "pixels" else "")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter(lambda v, _: look.short_count(v))
    grid[0][0].legend(frameon=False, fontsize=look.SMALL)
    return look.settled(figure)


def measured(series: Mapping[str, Series], device: str, seconds: float) -> list[dict[str, Any]]:
    """Every curve, each point measured once even where two curves cross."""
    known: dict[Point, dict[str, Any]] = {}
    curves: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, axis, point in walked(series):
        if point not in known:
            print(f"{name}: {point}", file=sys.stderr, flush=True)
            known[point] = elsewhere(name, point, device, seconds)
        curves.setdefault((name, axis), []).append({"x": point.along(axis), **asdict(point), **known[point]})
    return [{"series": name, "axis": axis, "points": points} for (name, axis), points in curves.items()]


def main() -> None:
    """Measure every point in a process of its own, and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=3.0, help="a point")
    parser.add_argument("--only", default=",".join(SERIES), help="some of the networks")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    parser.add_argument("--point", type=json.loads, help="measure this one and print it, nothing else")
    args = parser.parse_args()
    device = choose_device(args.device).name
    if args.point:
        settings = SERIES[args.point.pop("series")].settings
        print(json.dumps(measure(Point(**args.point), settings, device, args.seconds)))
        return
    curves = measured({name: SERIES[name] for name in args.only.split(",")}, device, args.seconds)
    found = {
        "command": "python benchmarks/scaling.py",
        "machine": machine(device),
        "channels": CHANNELS,
        "seconds": args.seconds,
        "growth": growth(curves),
        "curves": curves,
    }
    stem = args.output_dir / ("scaling" if device == "cpu" else f"scaling-{device.partition(':')[0]}")
    keep(stem, found, page(found, f"{stem.name}.png"))
    write_bytes(stem.with_suffix(".png"), png_bytes(plot(curves)))


if __name__ == "__main__":
    main()
