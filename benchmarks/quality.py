"""How good are the recipes? A table from runs that were trained and evaluated, seeds of one recipe in one row.

    fromnoise train mnist --recipe chapter-basic --output_dir runs/basic-s0
    fromnoise evaluate runs/basic-s0 --extended
    python benchmarks/quality.py --data mnist runs/basic-s0 ...

Runs of one row must have been measured under one protocol; else they are refused. Rows of other recipes that are there
already stay. Writes docs/results/quality-<data>.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import processor

from fromnoise.common.errors import FromNoiseError, UsageError
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.protocol import comparable
from fromnoise.evaluation.summary import format_number
from fromnoise.run import Run

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
_COLUMNS = ("recipe", "seeds", "trained", "images seen", "pictures", "evaluations", "Fréchet distance", "test row",
            "ratio", "KID", "precision", "recall", "density", "coverage", "class accuracy", "Fréchet, pixels", "copies",
            "learned from", "two-sample", "bits/dim")  # fmt: skip


def row(path: Path) -> dict[str, Any]:
    """What one run is and what its evaluation says."""
    run = Run(path)
    if not run.folder.evaluation.exists():
        raise UsageError(f"{path} was not evaluated; run `fromnoise evaluate {path} --extended` first")
    evaluation = Evaluation.from_json(json.loads(run.folder.evaluation.read_text()), str(run.folder.evaluation))
    lines = [line for line in run.folder.read_metrics() if "seconds" in line]
    return {
        "recipe": run.settings.recipe,
        "seed": run.settings.train.seed,
        "parameters": sum(p.numel() for p in run.new_denoiser().net.parameters()),
        "precision": run.precision.dtype_name,
        "seconds": lines[-1]["seconds"],
        "images_seen": int(run.checkpoint().name),
        "evaluation": evaluation.to_json(),
    }


def merged(kept: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`rows`, behind those kept of other recipes (a recipe's go together). SystemExit for those in other features."""
    new = {one["recipe"] for one in rows}
    found = [*(one for one in kept if one["recipe"] not in new), *rows]
    if any(_features(one) != _features(found[0]) for one in found):
        raise SystemExit("the rows that are there were measured in other features; remove the page to begin anew")
    return found


def _features(one: dict[str, Any]) -> Any:
    return one["evaluation"]["protocol"]["measure"]["features"]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, a line a recipe: means over seeds, with the spread (standard deviation) where there are several."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for one in rows:
        groups.setdefault((one["recipe"], one["evaluation"]["metrics"]["count"]), []).append(one)
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(group))} |" for group in groups.values())])


def _cells(group: list[dict[str, Any]]) -> list[str]:
    for other in group[1:]:
        comparable(*(one["evaluation"]["protocol"]["measure"] for one in (group[0], other)))
    found = [Evaluation.from_json(one["evaluation"]) for one in group]
    test = found[0].reference_rows["test"]
    measures = [evaluation.metrics for evaluation in found]

    def shares(name: str) -> str:
        return _spread([100 * getattr(scores, name) for scores in measures if getattr(scores, name) is not None], " %")

    def deep(name: str, scale: float = 1.0, unit: str = "") -> str:
        extended = [one.extended for one in found if one.extended is not None and name in one.extended]
        return _spread([scale * one[name] for one in extended], unit)

    return [
        group[0]["recipe"],
        ", ".join(str(one["seed"]) for one in group),
        _spread([one["seconds"] for one in group], " s"),
        _spread([one["images_seen"] for one in group]),
        f"{measures[0].count:,}",
        str(found[0].protocol["sampling"]["evaluations"]),
        _spread([scores.frechet_distance for scores in measures]),
        f"{test.frechet_distance:.3g}" if test else "–",
        _spread([one.ratio_to_test for one in found if one.ratio_to_test is not None]),
        _spread([scores.kid for scores in measures]),
        *(shares(name) for name in ("precision", "recall")),
        _spread([scores.density for scores in measures]),
        *(shares(name) for name in ("coverage", "class_accuracy")),
        _spread([scores.frechet_pixels for scores in measures]),
        shares("copy_rate"),
        deep("classification_accuracy", 100, " %"),
        deep("two_sample_accuracy", 100, " %"),
        deep("bits_per_dimension"),
    ]


def _spread(values: Sequence[float], unit: str = "") -> str:
    if not values:
        return "–"
    mean = format_number(statistics.mean(values))
    return f"{mean}{f' ± {format_number(statistics.stdev(values), 2)}' if len(values) > 1 else ''}{unit}"


def main() -> None:
    """Read the runs, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", default="mnist")
    args = parser.parse_args()
    machine = f"{os.cpu_count()} cores of {processor()}"
    path = RESULTS / f"quality-{args.data}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"machine": machine, "runs": []}
    if kept["machine"] != machine:
        raise SystemExit(f"{path} is of {kept['machine']}, but this is {machine}; remove it to begin anew")
    rows = merged(kept["runs"], [row(run) for run in args.runs])
    path.write_text(json.dumps({"machine": machine, "runs": rows}, indent=1) + "\n")
    space = _features(rows[0])
    words = (
        f"# How good are the recipes on {args.data}?\n\n`python benchmarks/quality.py` on runs made by "
        f"`fromnoise train` and `fromnoise evaluate --extended`, on {machine}. Means over training seeds, ± their "
        f"standard deviation. Features: {space['about']} (recipe {space['recipe_hash']}, weights "
        f"{space['weight_hash']}). "
        "Reference: the whole training split. `test row` is what as many test images get, `ratio` the distance over "
        "it. Seconds of training are wall time, also of a machine that did other work. What each column is: "
        "[evaluation](../evaluation.md).\n\n"
    )
    path.with_suffix(".md").write_text(words + table(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    try:
        main()
    except FromNoiseError as error:
        sys.exit(str(error))
