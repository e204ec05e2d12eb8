"""Which change of the default recipe makes better samples of the same number of images seen?

    python benchmarks/search.py --images 24000 --seeds 0,1,2 "" optimizer=adamw,learning_rate=2.5e-3 net.width=24

Each word is a variant of the default recipe: settings that differ (those without a dot are train's); "" is the recipe
itself. Every run sees the same images in the same order with the same noise, in a process of its own on one core, so
that its figures do not depend on what else the machine does; its cost, in CPU seconds, does. `images*1.4` gives
a variant 1.4 times the images, for one that costs less. Rows join docs/results/search-<data>.json, and the table beside
it is made from all that is there: what was tried and lost belongs to it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import RESULTS, keep, processor, short, table


def settings_of(variant: str) -> tuple[dict[str, Any], float]:
    """(settings by dotted name, images times this) of a variant in words."""
    from fromnoise.common.options import parse_value
    from fromnoise.settings import Settings

    found, times = {}, 1.0
    for word in filter(None, variant.split(",")):
        if word.startswith("images*"):
            times = float(word.removeprefix("images*"))
            continue
        name, _, text = word.partition("=")
        name = name if "." in name else f"train.{name}"
        found[name] = parse_value(Settings, name, text)
    return found, times


def one(data: str, variant: str, seed: int, images: int, num: int) -> dict[str, Any]:
    """Train the variant and score `num` of its samples, in this process on one thread."""
    import torch

    torch.set_num_threads(1)
    from fromnoise.evaluation.reference import build_reference
    from fromnoise.evaluation.samples import draw_samples
    from fromnoise.evaluation.scores import quick_scores
    from fromnoise.run import Run

    changes, times = settings_of(variant)
    length = {"train.budget": None, "train.num_images": int(images * times), "train.seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(data, settings={**changes, **length, "train.previews": 0}, output_dir=Path(folder) / "run")
        began = time.process_time()
        run.train()
        seconds = time.process_time() - began
        losses = [line["loss"] for line in run.folder.read_metrics() if "step" in line]
        model = run.model()
        if model.sampling.guidance_scale != 1 and "sample.guidance_scale" not in changes:
            model = model.with_sampling(guidance_scale=1.5)  # the same for all: the recipe's follows the image count
        made = draw_samples(model, num)
        found = quick_scores(made.images, made.labels, build_reference(run.data))
        return {
            "variant": variant or "the recipe",
            "seed": seed,
            "plan": images,
            "images": int(run.checkpoint().name),
            "parameters": sum(p.numel() for p in run.new_denoiser().net.parameters()),
            "cpu_seconds": round(seconds, 1),
            "loss": statistics.mean(losses[-len(losses) // 10 :]),
            "frechet_distance": found.frechet_distance,
            "kid": found.kid,
            "class_accuracy": found.class_accuracy,
        }


def page(data: str, found: dict[str, Any]) -> str:
    """Markdown: a line a variant, best first, means over seeds with their range."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["plan"], row["variant"]), []).append(row)
    ordered = sorted(
        groups.items(), key=lambda item: (item[0][0], statistics.mean(row["frechet_distance"] for row in item[1]))
    )
    rows = [
        [
            name,
            f"{len(rows)}",
            f"{rows[0]['images']:,}",
            f"{rows[0]['parameters']:,}",
            _ranged(rows, "cpu_seconds"),
            _ranged(rows, "loss"),
            _ranged(rows, "frechet_distance"),
            _ranged(rows, "class_accuracy", 100),
        ]
        for (_, name), rows in ordered
    ]
    heading = ("change", "seeds", "images", "parameters", "CPU s", "last loss", "Fréchet distance", "class accuracy, %")
    return (
        f"# Search: {data}\n\n`python benchmarks/search.py`, {found['num']:,} samples per run, one core of "
        f"{found['processor']}. CPU seconds are those of a machine that did other work: no benchmark. Means over "
        f"seeds, least to most behind them. What the changes are: [the recipe](../recipe.md).\n\n"
        f"{table(heading, rows)}\n"
    )


def _ranged(rows: list[dict[str, Any]], name: str, scale: float = 1.0) -> str:
    values = [scale * row[name] for row in rows]
    around = f" ({short(min(values))}–{short(max(values))})" if len(values) > 1 else ""
    return short(statistics.mean(values)) + around


def merged(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, those that were measured again only as they are now."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["variant"], row["seed"], row["plan"]

    again = {key(row) for row in rows}
    return [*(row for row in before if key(row) not in again), *rows]


def main() -> None:
    """Run what is not there yet, then write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=24000)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one(args.data, args.variants[0], args.one, args.images, args.num)))
        return
    wanted = [(variant, int(seed)) for seed in args.seeds.split(",") for variant in args.variants]
    common = ["--data", args.data, "--images", str(args.images), "--num", str(args.num)]

    def measure(job: tuple[str, int]) -> dict[str, Any]:
        words = [sys.executable, __file__, *common, "--one", str(job[1]), "--", job[0]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(row), flush=True)
        return row

    with ThreadPoolExecutor(args.workers) as pool:
        rows = list(pool.map(measure, wanted))
    stem = RESULTS / f"search-{args.data}"
    found = json.loads(stem.with_suffix(".json").read_text()) if stem.with_suffix(".json").exists() else {}
    kept = {"processor": processor(), "num": args.num, "rows": merged(found.get("rows", []), rows)}
    keep(stem, kept, page(args.data, kept))


if __name__ == "__main__":
    main()
