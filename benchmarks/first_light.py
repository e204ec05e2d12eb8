"""How good are the digits of `make demo`? The default recipe under its 100 seconds, several seeds, one table.

    python benchmarks/first_light.py --data mnist --seeds 0,1,2

Each seed is a training from scratch, on a machine that should do nothing else. The class accuracy is that of 200
samples a run, every class equally often, by a classifier of the real images. Writes
docs/results/first-light-<data>.json and .md.
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
from pathlib import Path
from typing import Any

from common import processor

SAMPLES = 200
RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def measure(data: str, seed: int, budget: str, folder: Path) -> dict[str, Any]:
    """One training and the class accuracy of its samples."""
    from fromnoise.run import Run

    path, began = folder / f"{data}-{seed}", time.monotonic()
    words = ["train", data, "--budget", budget, "--seed", str(seed), "--output_dir", str(path)]
    subprocess.run([sys.executable, "-m", "fromnoise", *words], check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - began
    run = Run(path)
    steps = [line for line in run.folder.read_metrics() if "step" in line]
    return {
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "images_seen": steps[-1]["images"],
        "images_per_second": statistics.median(line["images_per_second"] for line in steps),
        "precision": run.precision.dtype_name,
        "class_accuracy": class_accuracy(run),
        "samples": SAMPLES,
    }


def class_accuracy(run: Any) -> float:
    """Share of samples that a classifier of the training images assigns to the class they are conditioned on."""
    import torch

    from fromnoise.data import cache_dir
    from fromnoise.metrics.classifier_cache import cached_classifier

    labels = torch.arange(SAMPLES) % len(run.spec.classes)
    images = run.model().sample_labelled(range(SAMPLES), labels).images
    classifier = cached_classifier(run.data, cache_dir() / "classifiers")
    predicted = classifier.probabilities(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(1)
    return float((predicted == labels).double().mean())


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        f"| {r['seed']} | {r['wall_seconds']:.0f} s | {r['images_seen']:,} | {r['images_per_second']:,.0f} | "
        f"{100 * r['class_accuracy']:.1f} % |"
        for r in found["runs"]
    ]
    head = [
        f"# {found['data']} after {found['budget']}",
        "",
        f"`{found['command']}` on {found['machine']['cores']} cores of {found['machine']['processor']}; "
        f"torch {found['machine']['torch']}, {found['runs'][0]['precision']}.",
        "",
        "| seed | process start to end | images seen | images/s (median) | class accuracy |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def main() -> None:
    """Train every seed, then write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--budget", default="100s")
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    import torch

    with tempfile.TemporaryDirectory() as folder:
        runs = [measure(args.data, int(seed), args.budget, Path(folder)) for seed in args.seeds.split(",")]
    found = {
        "command": f"python benchmarks/first_light.py --data {args.data} --seeds {args.seeds}",
        "data": args.data,
        "budget": args.budget,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "torch": torch.__version__},
        "runs": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    stem = RESULTS / f"first-light-{args.data}"
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table(found), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
