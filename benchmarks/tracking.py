"""What `--report_to tensorboard` takes from the training that it reports.

    python benchmarks/tracking.py [--turns 4] [--images 20000]

Trainings of one recipe in turns, with and without it, each in a process of its own. Writes docs/results/tracking.json
and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, ratios, spread, table, with_range

WAYS = {"alone": (), "with tensorboard": ("--report_to", "tensorboard")}


def trained(folder: Path, images: int, flags: tuple[str, ...]) -> dict[str, float]:
    """Of a training: the median of the speeds in the last two thirds of its log, and the seconds of all of it."""
    command = [sys.executable, "-m", "fromnoise", "train", "digits", "--recipe", "default-small", *flags]
    command += ["--num_images", str(images), "--output_dir", str(folder), "--set", "train.log_every=1"]
    subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    speeds = [line["images_per_second"] for line in steps]
    assert bool(flags) == (folder / "tensorboard").is_dir()
    return {
        "speed": statistics.median(speeds[len(speeds) // 3 :]),
        "seconds": steps[-1]["seconds"],
        "lines": len(lines),
    }


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    turns = found["turns"]
    values = {name: [turn[name] for turn in turns] for name in WAYS}
    rows = [
        [name, with_range(spread([one["speed"] for one in its])), with_range(spread([one["seconds"] for one in its]))]
        for name, its in values.items()
    ]
    alone, tracked = ([one["speed"] for one in its] for its in values.values())
    seconds = [[one["seconds"] for one in its] for its in values.values()]
    return (
        "# What a tracker takes\n\n"
        f"`{found['command']}`: {len(turns)} trainings each, in turns, of `default-small` on the digits, "
        f"{found['images']:,} images, with a line in the log for every step ({turns[0]['alone']['lines']:,.0f} lines) "
        "and previews. A thread of the training gives tensorboard what is written. The median, and least to most.\n\n"
        f"{table(['training', 'images/s', 'seconds of training'], rows)}\n\n"
        f"Ratio to the training alone, pair by pair: speed {with_range(ratios(tracked, alone))}, seconds "
        f"{with_range(ratios(seconds[1], seconds[0]))}.\n\n"
        f"{in_words(found['machine'])}.\n"
    )


def main() -> None:
    """Train in turns, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--images", type=int, default=20000)
    args = parser.parse_args()
    turns = []
    for turn in range(args.turns):
        order = list(WAYS.items())[:: 1 if turn % 2 == 0 else -1]
        with tempfile.TemporaryDirectory() as folder:
            turns.append({name: trained(Path(folder, name), args.images, flags) for name, flags in order})
        print(turns[-1], flush=True)
    found = {"command": "python benchmarks/tracking.py", "machine": machine(), "images": args.images, "turns": turns}
    keep(RESULTS / "tracking", found, page(found))


if __name__ == "__main__":
    main()
