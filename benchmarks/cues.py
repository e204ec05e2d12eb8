"""What tells samples from real images? Cue by cue, and what a classifier still sees when both sides lose one.

    python benchmarks/cues.py RUN [RUN ...] --num 10000 --name mnist

A cue is one number of an image. Its line has the mean over samples and over test images, and the best accuracy with
which a threshold on it alone separates them (50 %: it tells nothing); the column before has that of training images
beside test images, which is chance and what the two splits differ in. Below, the accuracy of the two-sample classifier
(`evaluate --extended`) on all images as they are and after both sides were changed alike. Writes
docs/results/cues-<name>.json and .md, and a figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import RESULTS, keep, processor, short, table
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data import unseen
from fromnoise.evaluation.samples import draw_samples
from fromnoise.metrics.classifier_tests import two_sample_test
from fromnoise.metrics.spectrum import octave_power
from fromnoise.run import Run

FAINT, HALF = 16, 128  # grey levels below which a pixel hardly shows, and from which it counts as ink
Cue = Callable[[Tensor], Tensor]
Change = Callable[[Tensor], Tensor]


def steepness(images: Tensor) -> Tensor:
    """The largest differences between neighbours, the mean of the 20 largest: how steep the edges are."""
    x = images.float().mean(1)
    steps = torch.cat([x.diff(dim=1).flatten(1), x.diff(dim=2).flatten(1)], dim=1).abs()
    return steps.topk(min(20, steps.shape[1]), dim=1).values.mean(1)


def thickness(images: Tensor) -> Tensor:
    """Twice the ink over the length of its outline, in pixels: that of a straight stroke."""
    ink = (images.float().mean(1) >= HALF).float()
    outline = ink.diff(dim=1).abs().sum((1, 2)) + ink.diff(dim=2).abs().sum((1, 2))
    return 2 * ink.sum((1, 2)) / outline.clamp(min=1)


def extent(images: Tensor) -> Tensor:
    """Pixels from the first to the last row or column with anything in it, the larger of both."""
    shown = images.amax(1) > 0
    sides = []
    for along in (1, 2):
        line = shown.any(dim=along)
        count = line.shape[1]
        first, last = line.int().argmax(1), count - 1 - line.flip(1).int().argmax(1)
        sides.append(torch.where(line.any(1), last - first + 1, 0))
    return torch.stack(sides).amax(0)


def off_centre(images: Tensor) -> Tensor:
    """Pixels from the centre of the image to the centre of mass of its grey levels."""
    mass = images.float().mean(1)
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in mass.shape[1:])
    total = mass.sum((1, 2)).clamp(min=1)
    down, right = (mass.sum(2) @ rows / total, mass.sum(1) @ columns / total)
    return torch.hypot(down, right)


def octave(place: int) -> Cue:
    """The power in the octave `place` (-1: the finest) of each image, in dB."""

    def power(images: Tensor) -> Tensor:
        return torch.stack([octave_power(image[None])[0, place] for image in images]).clamp(min=1).log10() * 10

    return power


CUES: dict[str, Cue] = {
    "exact zeros, share of pixels": lambda images: (images == 0).float().mean((1, 2, 3)),
    f"faint greys (1 to {FAINT - 1}), share": lambda images: ((images > 0) & (images < FAINT)).float().mean((1, 2, 3)),
    "nearly white (from 250), share": lambda images: (images >= 250).float().mean((1, 2, 3)),
    "the brightest pixel": lambda images: images.flatten(1).amax(1).float(),
    "mean grey": lambda images: images.float().mean((1, 2, 3)),
    "steepness of edges": steepness,
    "thickness of strokes, pixels": thickness,
    "extent, pixels": extent,
    "centre of mass off the centre, pixels": off_centre,
    "power in the finest octave, dB": octave(-1),
    "power in the next octave, dB": octave(-2),
}
_BLUR = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16


def _blurred(images: Tensor) -> Tensor:
    kernel = _BLUR.expand(images.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(images.float(), (1, 1, 1, 1)), kernel, groups=images.shape[1]).round().byte()


CHANGES: dict[str, Change] = {
    "as they are": lambda images: images,
    f"greys below {FAINT} made 0": lambda images: torch.where(images < FAINT, 0, images),
    "the same, and greys from 240 made 255": lambda images: torch.where(
        images >= 240, 255, torch.where(images < FAINT, 0, images)
    ),
    "blurred by a pixel": _blurred,
    "black and white": lambda images: ((images >= HALF) * 255).byte(),
}


def separation(ours: Tensor, real: Tensor) -> float:
    """The accuracy of the best threshold between two sets of numbers, each set counting half: 0.5 to 1."""
    values, order = torch.cat([ours, real]).double().sort()
    sides = torch.cat([torch.full((len(ours),), 1 / len(ours)), torch.full((len(real),), -1 / len(real))])
    gaps = sides.double()[order].cumsum(0)
    last = torch.cat([values.diff() > 0, torch.tensor([True])])  # a threshold lies between different values
    return 0.5 + 0.5 * float(gaps[last].abs().max())


def found_in(run: Run, num: int) -> dict[str, Any]:
    """Every cue and change of `num` samples of the run."""
    test = unseen(run.settings.data, run.data)
    assert test is not None, "cues need test images"
    samples, real = draw_samples(run.model(), num).images, test.images[:]
    order = torch.randperm(len(run.data), generator=generator(0, "cues"))
    train = run.data.fetch(order[: len(real)])[0]
    cues = {}
    for name, cue in CUES.items():
        of_samples, of_real, of_train = cue(samples), cue(real), cue(train)
        cues[name] = {
            "samples": float(of_samples.double().mean()),
            "test": float(of_real.double().mean()),
            "train_accuracy": separation(of_train, of_real),
            "accuracy": separation(of_samples, of_real),
        }
    changes = {
        name: {
            side: two_sample_test(change(images), change(real)).accuracy
            for side, images in (("train", train), ("samples", samples))
        }
        for name, change in CHANGES.items()
    }
    sampling, prediction = run.settings.sample, run.settings.objective.prediction
    about = f"{run.settings.train.budget or f'{run.settings.train.num_images:,} images'}, predicts {prediction}"
    return {"run": f"{about}, seed {run.settings.train.seed}, {sampling.steps} steps", "cues": cues, "changes": changes}


def page(found: dict[str, Any], figure: str) -> str:
    """Markdown."""
    text = (
        f"# What tells samples from test images: {found['name']}\n\n`python benchmarks/cues.py`, {found['num']:,} "
        f"samples of each run, on {found['processor']}. A cue is one number of an image; accuracy is that of the best "
        f"threshold on it, 50 % where it tells nothing.\n\n![accuracy by cue]({figure})\n"
    )
    for one in found["runs"]:
        rows = [
            [
                name,
                short(cue["samples"]),
                short(cue["test"]),
                _percent(cue["train_accuracy"]),
                _percent(cue["accuracy"]),
            ]
            for name, cue in one["cues"].items()
        ]
        heading = ("cue", "samples", "test images", "training beside test images", "samples beside test images")
        text += f"\n## {one['run']}\n\n{table(heading, rows)}\n"
        rows = [[name, _percent(two["train"]), _percent(two["samples"])] for name, two in one["changes"].items()]
        text += f"\n{table(('two-sample classifier, both sides', 'training images', 'samples'), rows)}\n"
    return text


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def drawn(found: dict[str, Any], path: Path) -> None:
    """A bar for each cue and run, beside that of training images."""
    from matplotlib.figure import Figure

    names, runs = list(CUES), found["runs"]
    figure = Figure(figsize=(9, 0.45 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    bars = [("training images", [runs[0]["cues"][name]["train_accuracy"] for name in names], "0.75")]
    for number, one in enumerate(runs):
        bars.append((one["run"], [one["cues"][name]["accuracy"] for name in names], f"C{number}"))
    height = 0.8 / len(bars)
    for place, (label, values, colour) in enumerate(bars):
        y = [row + (place - (len(bars) - 1) / 2) * height for row in range(len(names))]
        axes.barh(y, [100 * value - 50 for value in values], height, left=50, label=label, color=colour)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlim=(50, 100), xlabel="% of images that this number alone assigns to the right side")
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--name", default="mnist")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    args = parser.parse_args()
    runs = [found_in(Run(path), args.num) for path in args.runs]
    found = {"name": args.name, "num": args.num, "processor": processor(), "runs": runs}
    stem = args.output_dir / f"cues-{args.name}"
    drawn(found, stem.with_suffix(".png"))
    keep(stem, found, page(found, stem.with_suffix(".png").name))


if __name__ == "__main__":
    main()
