"""Choices of a recipe beside each other on many kinds of images: the same seconds, the same seeds, in turns.

    python benchmarks/choices.py train --data cifar10-jpeg-2500.zip --budget 60s --seeds 0,1,2 --work runs/choices \
        objective.prediction=edm,objective.weighting=unit objective.prediction=x0,objective.weighting=clamped_velocity
    python benchmarks/choices.py score --work runs/choices --num 2000

`train` leaves a run for each seed and choice (settings as in search.py; "" is the recipe as it is), on as many threads
as `fromnoise train` takes: nothing else should run meanwhile, unless `--images` gives the length. `score` evaluates
those that have no evaluation of so many samples yet, which may share the machine, and adds their rows to
docs/results/choices.json and the page beside it.
`--data made:RGBA` is a set of coloured shapes over nothing, made here: 2,000 images of 32 pixels with transparency.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, keep, processor, short, table
from search import settings_of

MADE, SHAPES = 2000, ("disc", "ring", "square", "stripes")
USUAL_RECIPE = "default"


def made_rgba(path: Path) -> Path:
    """An .npz of discs, rings, squares and stripes in random colours and places, with smooth edges over nothing."""
    g = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32].astype(float)
    labels = np.arange(MADE) % len(SHAPES)
    images = np.zeros((MADE, 32, 32, 4))
    for image, label in zip(images, labels, strict=True):
        radius, (down, right) = g.uniform(6, 11), g.uniform(11, 21, 2)
        far = np.hypot(y - down, x - right)
        side = np.maximum(abs(y - down), abs(x - right))
        inside = {
            "disc": radius - far,
            "ring": 3 - abs(far - radius + 2),
            "square": radius - side,
            "stripes": np.minimum(radius - far, 3 * np.sin((y + x * g.uniform(-1, 1)) * 1.2)),
        }[SHAPES[label]]
        shade = 1 - 0.4 * np.clip(far / radius, 0, 1)
        image[..., 3] = 255 * np.clip(inside + 0.5, 0, 1)
        image[..., :3] = g.uniform(60, 255, 3) * shade[..., None] * (image[..., 3:] > 0)
    np.savez(path, images=images.round().astype(np.uint8), labels=labels, classes=np.array(SHAPES))
    return path


def train(args: argparse.Namespace) -> None:
    """A run for each seed and choice; one that is there goes on to its end, or is left alone."""
    from fromnoise.run import Run

    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    source = str(made_rgba(work / "made-rgba.npz")) if args.data == "made:RGBA" else args.data
    for seed in map(int, args.seeds.split(",")):
        for choice in args.choices:
            length = {"train.num_images": args.images} if args.images else {"train.budget": args.budget}
            changes = {**length, "train.seed": seed, "train.previews": 0, **settings_of(choice)[0]}
            if args.resolution:
                changes["data.resolution"] = args.resolution
            budget = f"{args.images:,} images" if args.images else args.budget
            # Rows of one recipe are not those of another, nor are its runs.
            other = "" if args.recipe == USUAL_RECIPE else f"recipe={args.recipe}"
            called = ",".join(filter(None, (other, choice)))
            name = f"{Path(source).stem}-{args.resolution or 'own'}-{budget}-{called or 'recipe'}-{seed}"
            folder = work / name.replace("objective.", "").replace(" ", "-")
            run = Run.create(source, recipe=args.recipe, settings=changes, output_dir=folder)
            run.train()
            about = {"data": Path(source).stem, "budget": budget, "choice": called or "the recipe", "seed": seed}
            (run.folder.path / "choice.json").write_text(json.dumps(about))
            print(run.folder.path, run.checkpoint().name, flush=True)


def row(path: Path, num: int) -> dict[str, Any]:
    """What the run at `path` and its evaluation say; it is evaluated where it was not."""
    from fromnoise.evaluation.evaluation import Evaluation
    from fromnoise.run import Run

    run, kept = Run(path), path / "evaluation.json"
    found = Evaluation.from_json(json.loads(kept.read_text())) if kept.exists() else None
    if found is None or found.metrics.count != num:
        found = run.evaluate(num)
    test = found.reference_rows["test"]
    measures = (
        "frechet_distance",
        "frechet_pixels",
        "class_accuracy",
        "recall",
        "spectrum",
        "spectrum_colour",
        "grain",
    )
    return {
        **json.loads((path / "choice.json").read_text()),
        "processor": processor(),
        "shape": [run.data.spec.height, run.data.spec.width, run.data.spec.channels],
        "training_images": len(run.data),
        "images_seen": int(run.checkpoint().name),
        "num": num,
        "nfe": found.protocol["sampling"]["evaluations"],
        "ratio_to_test": found.ratio_to_test,
        **{name: getattr(found.metrics, name) for name in measures},
        "test": {name: getattr(test, name) for name in ("count", *measures)} if test else None,
    }


def merged(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows; of those measured twice, the newer."""

    def key(one: dict[str, Any]) -> tuple[Any, ...]:
        return one["data"], *one["shape"], one["budget"], one["choice"], one["seed"], one["num"]

    again = {key(one) for one in rows}
    return [*(one for one in before if key(one) not in again), *rows]


HEADING = ("choice", "seed", "images seen", "FD", "of pixels", "FD / FD(test)", "octaves, dB", "class accuracy")


def page(found: dict[str, Any]) -> str:
    """Markdown: a table for each set of images and budget, choices in turns, their means below."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in found["rows"]:
        groups.setdefault((one["data"], *one["shape"], one["training_images"], one["budget"]), []).append(one)
    text = (
        "# Choices of the recipe, in turns\n\n`python benchmarks/choices.py`, by the two commands that it names: "
        "runs of a time on two quiet cores, runs of a number of images on one. FD and pixels as in "
        "[evaluation](../evaluation.md); octaves from coarse to fine, of lightness; of colours: the last of either "
        "shows grain. What follows from it: [the recipe](../recipe.md).\n"
    )
    for (data, height, width, channels, count, budget), rows in groups.items():
        test = rows[0]["test"]
        text += f"\n## {data}, {height}x{width}, {channels} channels, {count:,} to train on, {budget}\n\n"
        taken = " or ".join(str(nfe) for nfe in sorted({row["nfe"] for row in rows}))
        processors = "; ".join(sorted({row["processor"] for row in rows}))
        text += f"{processors}. {rows[0]['num']:,} samples of {taken} evaluations each"
        if test:
            text += (
                f"; {test['count']:,} test images: FD {short(test['frechet_distance'])}, of pixels "
                f"{short(test['frechet_pixels'])}, octaves {_decibels(test)}"
            )
        lines = [_cells(one) for one in sorted(rows, key=lambda one: (one["seed"], one["choice"]))]
        text += f".\n\n{table(HEADING, [*lines, *_means(rows)])}\n"
    return text


def _decibels(one: dict[str, Any]) -> str:
    parts = [one["spectrum"], *filter(None, [one["spectrum_colour"]])]
    return "; ".join(", ".join(f"{value:+.1f}" for value in part) for part in parts)


def _cells(one: dict[str, Any]) -> list[str]:
    ratio, accuracy = one["ratio_to_test"], one["class_accuracy"]
    return [
        one["choice"].replace("objective.", ""),
        str(one["seed"]),
        f"{one['images_seen']:,}",
        short(one["frechet_distance"]),
        short(one["frechet_pixels"]),
        short(ratio) if ratio else "–",
        _decibels(one),
        f"{100 * accuracy:.1f} %" if accuracy is not None else "–",
    ]


def _means(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A line for each choice with more than one seed: its means, and of FD and pixels least to most."""
    lines = []
    for choice in dict.fromkeys(one["choice"] for one in rows):
        ours = [one for one in rows if one["choice"] == choice]
        if len(ours) > 1:
            mean: dict[str, Any] = dict(ours[0])
            for name in ("images_seen", "frechet_distance", "frechet_pixels", "ratio_to_test", "class_accuracy"):
                if mean[name] is not None:
                    mean[name] = statistics.mean(one[name] for one in ours)
            mean["images_seen"] = round(mean["images_seen"])
            for name in ("spectrum", "spectrum_colour"):
                mean[name] = [statistics.mean(octave) for octave in zip(*(one[name] for one in ours))]
            cells = _cells(mean)
            for place, name in ((3, "frechet_distance"), (4, "frechet_pixels")):
                values = [one[name] for one in ours]
                cells[place] = f"**{cells[place]}** ({short(min(values))}–{short(max(values))})"
            lines.append([cells[0], "mean", *cells[2:]])
    return lines


def score(args: argparse.Namespace) -> None:
    """Evaluate, and write both files."""
    stem = RESULTS / "choices"
    before = json.loads(stem.with_suffix(".json").read_text())["rows"] if stem.with_suffix(".json").exists() else []
    rows = [row(path.parent, args.num) for path in sorted(Path(args.work).glob("*/choice.json"))]
    kept = {"rows": merged(before, rows)}
    keep(stem, kept, page(kept))


def main() -> None:
    """Train or score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    training, scoring = verbs.add_parser("train"), verbs.add_parser("score")
    for one in (training, scoring):
        one.add_argument("--work", required=True, help="the folder of the runs")
    training.add_argument("choices", nargs="+")
    training.add_argument("--data", default="mnist")
    training.add_argument("--resolution")
    training.add_argument("--budget", default="60s")
    training.add_argument("--images", type=int, help="train on so many images instead, however long that takes")
    training.add_argument("--recipe", default=USUAL_RECIPE)
    training.add_argument("--seeds", default="0,1,2")
    scoring.add_argument("--num", type=int, default=2000)
    args = parser.parse_args()
    {"train": train, "score": score}[args.verb](args)


if __name__ == "__main__":
    main()
