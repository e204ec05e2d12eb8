"""How good are samples after so many seconds of training on this machine? Ours and others', one clock, one score.

    python benchmarks/time_to_quality.py --data mnist --budgets 60s,180s,600s --seeds 0,1,2
    python benchmarks/time_to_quality.py --contenders ours,torchcfm --budgets 60s --seeds 0      # a part of it

Each row is a training from nothing, on a machine that should do nothing else. Rows are kept as they come, and those
that are there already are not made again (--again makes them), so that the table can be measured in parts. Where only
sampling has changed, --resample, with the --work of before, leaves the trainings as they are. The peers are installed
into environments of their own below --environments. Writes docs/results/time-to-quality-<data>.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, keep, machine
from contenders import OURS, PEERS, USUAL, Facts, Made, environment, exported, ours, theirs
from time_to_quality_page import drawing, key, merged, page

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import FromNoiseError, UsageError
from fromnoise.data import DataOptions, cache_dir, load, unseen
from fromnoise.evaluation.evaluate import EvaluationSpec, prepare
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.measure import measure as measure_samples
from fromnoise.evaluation.reference import Reference, embed
from fromnoise.evaluation.reference_rows import ReferenceRows
from fromnoise.evaluation.samples import SampleSet
from fromnoise.figures.grid import save

WITHOUT_MANY = ("chapter-unet2d",)  # of ours: 10,000 of its samples take most of an hour


class Judge:
    """The real images, and the score of samples beside them."""

    def __init__(self, data: str) -> None:
        options = DataOptions(source=data)
        self.train = load(options)
        self.test = unseen(options, self.train)
        self._prepared: dict[int, tuple[Reference, ReferenceRows]] = {}

    def evaluation(self, made: Made, count: int) -> Evaluation:
        """Of the first `count` of the samples."""
        if count not in self._prepared:
            reference, real, _ = prepare(self.train, self.test, count, EvaluationSpec())
            assert real is not None  # one process makes them here
            self._prepared[count] = reference, real
        reference, real = self._prepared[count]
        images = torch.from_numpy(made.images[:count]).permute(0, 3, 1, 2).contiguous()
        labels = None if made.labels is None else torch.from_numpy(made.labels[:count])
        embedded = embed(reference.features, images)
        return measure_samples(SampleSet(images, labels, {}), embedded, reference, real, self.test).evaluation


def measure(
    name: str, seconds: float, seed: int, judge: Judge, args: argparse.Namespace, folder: Path, before: Facts | None
) -> dict[str, Any]:
    """One training and its scores, in the shape of the whole file with one row; before: the row, to sample it anew."""
    numbers = {args.peer_num}
    if name in OURS:
        numbers |= set() if name in WITHOUT_MANY else {args.num}
        made = ours(name, args.data, seconds, seed, max(numbers), folder, before)
    else:
        train = exported(judge.train, folder)
        python = environment(PEERS[name].environment, args.environments)
        made = theirs(name, python, train, seconds, seed, args.peer_num, folder)
    found = {str(count): judge.evaluation(made, count) for count in sorted(numbers)}
    scores = {count: {**one.metrics.to_json(), "ratio_to_test": one.ratio_to_test} for count, one in found.items()}
    rows = {count: one.reference_rows["test"] for count, one in found.items()}
    row = {**made.facts, "contender": name, "budget": seconds, "seed": seed, "sampled": len(made.images)}
    return {
        "data": args.data,
        "machine": machine("cuda" if torch.cuda.is_available() else "cpu"),
        "measure": {count: one.protocol["measure"] for count, one in found.items()},
        "test": {count: scored.to_json() if scored else None for count, scored in rows.items()},
        "rows": [{**row, "scores": scores}],
    }


def plan(args: argparse.Namespace, done: set[tuple[str, float, int]]) -> list[tuple[str, float, int]]:
    """(contender, seconds, seed) still to be measured, the shortest first; UsageError for an unknown contender."""
    names = args.contenders.split(",")
    if unknown := [name for name in names if name not in (*OURS, *PEERS)]:
        raise UsageError(f"there is no contender {', '.join(unknown)}; choose of {', '.join((*OURS, *PEERS))}")
    times = sorted(parse_duration(budget) for budget in args.budgets.split(","))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    wanted = [(name, seconds, seed) for seconds in times for seed in seeds for name in names]
    if args.resample:
        return [one for one in wanted if one in done and one[0] in OURS]
    return [one for one in wanted if args.again or one not in done]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing, keep each row as it comes, then write the page and the plot."""
    args = flags(argv)
    stem = args.out or RESULTS / f"time-to-quality-{args.data}"
    path = stem.with_name(stem.name + ".json")
    kept: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    done = {key(row): row for row in kept["rows"]} if kept else {}
    todo = plan(args, set(done))
    if todo:
        kept = measured(todo, args, kept, done, path)
    if kept is None:
        raise UsageError(f"--resample samples rows that were kept, but there is no {path}; train them without it")
    save(drawing(kept), path.with_suffix(".png"))
    keep(stem, kept, page(kept, path.with_suffix(".png").name))


def measured(
    todo: Sequence[tuple[str, float, int]],
    args: argparse.Namespace,
    kept: dict[str, Any] | None,
    done: Mapping[tuple[str, float, int], Facts],
    path: Path,
) -> dict[str, Any] | None:
    """`kept` with the rows of `todo`, written to `path` after each of them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        judge = Judge(args.data)
        for number, (name, seconds, seed) in enumerate(todo, start=1):
            print(f"{number} of {len(todo)}: {name}, {seconds:g} s, seed {seed}", file=sys.stderr, flush=True)
            before = done[name, seconds, seed] if args.resample else None
            kept = merged(kept, measure(name, seconds, seed, judge, args, folder, before))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return kept


def flags(argv: Sequence[str] | None) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--budgets", default="60s,180s,600s")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--contenders", default=",".join(USUAL), help=f"of {', '.join((*OURS, *PEERS))}")
    parser.add_argument("--num", type=int, default=10_000, help="samples of ours and chapter-basic")
    parser.add_argument("--peer_num", type=int, default=500, help="samples of every contender, for the common table")
    parser.add_argument("--environments", type=Path, default=cache_dir() / "peers", help="where peers are installed")
    parser.add_argument("--work", type=Path, help="keep runs and samples here")
    parser.add_argument("--out", type=Path, help="write OUT.json, .md and .png instead of the page in docs/results")
    parser.add_argument("--again", action="store_true", help="measure also what is there already")
    parser.add_argument("--resample", action="store_true", help="sample the runs in --work anew, as they were trained")
    args = parser.parse_args(argv)
    if args.resample and not args.work:
        raise UsageError("--resample samples runs that were kept; give their folder with --work")
    return args


if __name__ == "__main__":
    try:
        main()
    except FromNoiseError as error:
        sys.exit(str(error))
