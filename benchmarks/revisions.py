"""Is this checkout's training faster than another's? Both train the sizes of the default recipe, in turns.

    git worktree add /tmp/before REVISION
    python benchmarks/revisions.py /tmp/before --data mnist

Each size of each checkout waits in a process of its own and takes its turns as in throughput.py, beside products of
large matrices. Writes docs/results/revisions-<data>.json and .md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, in_words, keep, machine, ratios, short, spread, table, with_range
from stepping import matmul, timed
from turns import Waiting

SIZES = ("default-tiny", "default-small", "default")
HERE = Path(__file__).resolve().parents[1]


def waiting(root: Path, name: str, source: str) -> Waiting:
    """The process of the checkout at `root` that trains `name`, ready."""
    os.environ["PYTHONPATH"] = str(root / "src")
    words = [sys.executable, str(root / "benchmarks" / "throughput.py"), "--data", source, "--device", "cpu"]
    contender = Waiting(f"{name} of {root}", [*words, "--wait", name])
    contender.until_ready()
    return contender


def measure(other: Path, source: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Images per second of each size, before and after, from `rounds` turns of `seconds`; and the ceiling's GFLOP/s."""
    pairs = {name: [waiting(root, name, source) for root in (other, HERE)] for name in SIZES}
    speeds: dict[str, list[list[float]]] = {name: [[], []] for name in SIZES}
    product, work = matmul(torch.bfloat16, "cpu")
    reached = []
    for _ in range(rounds):
        for name, pair in pairs.items():
            for contender, found in zip(pair, speeds[name], strict=True):
                turn = contender(seconds)
                found.append(turn["images"] / turn["seconds"])
        turn = timed(product, 0.5, "cpu")
        reached.append(turn["steps"] * work / turn["seconds"] / 1e9)
    for pair in pairs.values():
        for contender in pair:
            contender.end()
    rows = {}
    for name, (before, after) in speeds.items():
        flops = pairs[name][1].about["mflop_per_image"] / 1e3
        rows[name] = {"before": spread(before), "after": spread(after), "ratio": ratios(after, before)}
        rows[name]["share"] = flops * rows[name]["after"]["median"] / spread(reached)["median"]
        rows[name]["share_before"] = flops * rows[name]["before"]["median"] / spread(reached)["median"]
    return {"ceiling": spread(reached), "sizes": rows}


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    heading = ["size", "images/s before", "images/s after", "ratio", "of bf16 ceiling before", "after"]
    rows = [
        [name, with_range(one["before"]), with_range(one["after"]), with_range(one["ratio"])]
        + [f"{100 * one[share]:.0f} %" for share in ("share_before", "share")]
        for name, one in found["sizes"].items()
    ]
    return (
        f"# Training before and after, on {found['data']}\n\n`{found['command']}`, on {in_words(found['machine'])}.\n\n"
        f"Medians of {found['rounds']} turns of {found['seconds']:g} s each, least and most in brackets; whole "
        f"steps, as in [throughput-mnist.md](throughput-mnist.md). The ceiling is what products of "
        f"large bf16 matrices reach: {short(found['ceiling']['median'])} GFLOP/s.\n\n{table(heading, rows)}\n"
    )


def main() -> None:
    """Measure in turns and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    args = parser.parse_args()
    found = {
        "command": f"python benchmarks/revisions.py BEFORE --data {Path(args.data).stem}",
        "data": Path(args.data).stem,
        "machine": machine("cpu"),
        "rounds": args.rounds,
        "seconds": args.seconds,
        **measure(args.other.resolve(), args.data, args.rounds, args.seconds),
    }
    keep(RESULTS / f"revisions-{found['data']}", found, page(found))


if __name__ == "__main__":
    main()
