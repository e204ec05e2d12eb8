"""Which change of training reaches a lower validation loss after the same images, seed by seed?

    python benchmarks/optimizers.py --images 16000 --seeds 0,1,2,3,4,5,6,7 "" weight_decay=0.2 adam_beta2=0.9

Each word is a change of the recipe, settings as in search.py; "" is the recipe itself, and every change is paired with
it: the same weights at the start, images in the same order, noise, times and dropped labels. The loss is the recipe's
own, of averaged weights on images that training does not see, with fixed noise (2,048 of them, or all there are).
One thread; what is there already is not trained again. A change counts as lower where it is so in each of 8 seeds or
more, in 9 of 10, or by a paired t-test at 1 %. Rows join docs/results/optimizers.json, and the page beside it is made
from all of them: what lost belongs to it. `--weights ema,raw,ema:0.05` measures other averages of the same trainings;
`--label` names a change of the code itself.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common import RESULTS, processor, short, table, write
from scipy.stats import ttest_1samp
from search import settings_of

DRAWS = 4  # sets of 512 validation images, each with noise of its own
STEM, RECIPE = RESULTS / "optimizers", "default-tiny"


def averages(run: Any, weights: list[str]) -> Iterator[tuple[str, Any]]:
    """(name, denoiser) of each kind of weights to measure."""
    for name in weights:
        yield name, run.denoiser(weights=name)


def one(args: argparse.Namespace, change: str, seed: int) -> list[dict[str, Any]]:
    """Train with `change`; a row for each kind of weights."""
    from fromnoise.model.build import build_objective
    from fromnoise.run import Run
    from fromnoise.train.validation import Validator

    settings = {**settings_of(change)[0], "train.num_images": args.images, "train.budget": None, "train.seed": seed}
    quiet = {"train.previews": 0, "train.validations": 0, "train.num_threads": 1, "train.posthoc_ema": True}
    if args.resolution:
        settings["data.resolution"] = args.resolution
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(args.data, recipe=args.recipe, settings={**settings, **quiet}, output_dir=Path(folder) / "run")
        began = time.process_time()
        run.train()
        seconds = time.process_time() - began
        shared = {
            "data": Path(args.data).stem,
            "shape": [run.spec.channels, run.spec.height, run.spec.width],
            "recipe": args.recipe,
            "resolution": args.resolution,
            "plan": args.images,
            "images": int(run.checkpoint().name),
            "batch": run.settings.train.train_batch_size,
            "change": args.label or change,
            "seed": seed,
            "processor": processor(),
            "cpu_seconds": round(seconds, 1),
        }
        rows = []
        for name, denoiser in averages(run, args.weights.split(",")):
            objective = build_objective(run.settings.objective, denoiser.prediction.sigma_data)
            held_out = run.held_out
            assert held_out is not None  # MNIST has a test split, and of all others a tenth is held out
            losses = [
                Validator(objective, denoiser.process, held_out, run.data, draw)(denoiser).loss for draw in range(DRAWS)
            ]
            rows.append({**shared, "weights": name, "loss": statistics.mean(losses)})
        return rows


def kept() -> list[dict[str, Any]]:
    """The rows of all trainings so far; the oldest name neither recipe nor resolution, which were the usual ones."""
    file = STEM.with_suffix(".json")
    return (
        [{"recipe": RECIPE, "resolution": None, **row} for row in json.loads(file.read_text())["rows"]]
        if file.exists()
        else []
    )


def measured(args: argparse.Namespace, name: str, seed: int) -> bool:
    """Whether there are rows of this training, of all the averages that are asked for."""
    wanted = (Path(args.data).stem, args.recipe, args.resolution, args.images, name, seed)
    about = ("data", "recipe", "resolution", "plan", "change", "seed")
    there = [row for row in kept() if tuple(row[one] for one in about) == wanted]
    return {row["weights"] for row in there} >= set(args.weights.split(","))


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is measured once."""
    return row["data"], row["recipe"], *row["shape"], row["images"], row["change"], row["weights"], row["seed"]


def paired(rows: list[dict[str, Any]], base: Mapping[int, float]) -> list[str]:
    """The cells of a change: its loss beside that of the recipe, `base`, by seed."""
    both = [(row["loss"], base[row["seed"]]) for row in rows if row["seed"] in base]
    gains = [100 * (1 - ours / recipe) for ours, recipe in both]
    count, lower = len(gains), sum(gain > 0 for gain in gains)
    p = float(ttest_1samp(gains, 0).pvalue) if count > 1 else math.nan
    better = lower == count or (count == 10 and lower == 9) or (p < 0.01 and statistics.mean(gains) > 0)
    return [
        short(statistics.mean(ours for ours, _ in both), 4),
        f"{statistics.mean(gains):+.2f} %",
        f"{min(gains):+.2f} to {max(gains):+.2f} %",
        f"{lower} of {count}",
        "–" if math.isnan(p) else f"{p:.2g}",
        "**lower**" if better and count >= 8 else "–",
    ]


HEADING = ("change", "weights", "loss", "gain", "gain, worst to best seed", "lower in", "p", "by the rule")


def page(found: Mapping[str, Any]) -> str:
    """Markdown: a table for each set of images and length, the largest gain first."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        group = row["data"], row.get("recipe", RECIPE), *row["shape"], row["images"], row["batch"]
        groups.setdefault(group, []).append(row)
    processors = "; ".join(sorted({row["processor"] for row in found["rows"]}))
    text = (
        f"# Changes of training, in pairs\n\n`python benchmarks/optimizers.py`, one thread of {processors}. "
        "Validation loss with fixed noise, of averaged weights, beside the recipe's with the same seed: a gain is how "
        "much lower it is. By the rule: lower in each of 8 seeds, in 9 of 10, or by a paired t-test at 1 %. What the "
        "changes are: [the recipe](../recipe.md).\n"
    )
    for (data, recipe, channels, height, width, images, batch), rows in groups.items():
        base = {row["seed"]: row["loss"] for row in rows if not row["change"] and row["weights"] == "ema"}
        if not base:
            continue
        changes: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            if row["change"] or row["weights"] != "ema":
                changes.setdefault((row["change"] or "none", row["weights"]), []).append(row)
        lines = [[*name, *paired(found, base)] for name, found in changes.items()]
        lines.sort(key=lambda line: -float(line[3].removesuffix(" %")))
        about = "" if recipe == RECIPE else f"{recipe}, "
        text += f"\n## {data}, {about}{height}x{width}, {channels} channels, "
        text += f"{images:,} images in batches of {batch}\n\n"
        loss = short(statistics.mean(base.values()), 4)
        text += f"The recipe: {loss} (mean of {len(base)} seeds).\n\n{table(HEADING, lines)}\n"
    return text


def main() -> None:
    """Train what is not there yet; after each run, write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="+")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--resolution")
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--images", type=int, default=16000)
    parser.add_argument("--seeds", default="0,1,2,3,4,5,6,7")
    parser.add_argument("--weights", default="ema")
    parser.add_argument("--label", help="the name of what differs, where that is the code itself")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for seed in map(int, args.seeds.split(",")):
        for change in args.changes:
            name = args.label or change
            if measured(args, name, seed):
                continue
            rows = one(args, change, seed)
            print(seed, name or "the recipe", {row["weights"]: round(row["loss"], 6) for row in rows}, flush=True)
            again = {key(row) for row in rows}
            found = {"rows": [*(row for row in kept() if key(row) not in again), *rows]}
            write(STEM, found, page(found))
    print(page({"rows": kept()}))


if __name__ == "__main__":
    main()
