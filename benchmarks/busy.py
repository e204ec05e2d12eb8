"""How many images a training sees beside busy programs: the threads that fromnoise chooses, and fixed numbers of them.

    python benchmarks/busy.py --loops 0,1,2,3,4

Each training is a process of its own, beside so many endless loops of other processes, and all take turns. `all
threads` is what torch does by itself; `passive` lets waiting threads sleep instead of spin. Writes
docs/results/busy.json and .md, and replaces there the rows of the `--loops` that it measured. The machine should do
nothing else; what else it did meanwhile is measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, short, table, with_range

from fromnoise.common.cpus import LoadMeter, affinity
from fromnoise.common.durations import parse_duration

CPUS = str(len(affinity()))
VARIANTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "by default": ([], {}),
    "all threads": (["--num_threads", CPUS], {}),
    "all threads, passive": (["--num_threads", CPUS], {"OMP_WAIT_POLICY": "passive"}),
    "one thread": (["--num_threads", "1"], {}),
}


@contextmanager
def busy_loops(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that compute without end; ended on the way out."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure(variant: str, loops: int, data: str, recipe: str, budget: str) -> dict[str, Any]:
    """One training: images seen, seconds from start to end, and CPUs that neither it nor the loops kept busy."""
    words, environment = VARIANTS[variant]
    clean = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    meter = LoadMeter()
    with tempfile.TemporaryDirectory() as folder, busy_loops(loops) as running:
        command = ["train", data, "--recipe", recipe, "--budget", budget, "--output_dir", f"{folder}/run", *words]
        time.sleep(0.5)
        before = meter.read()
        looped = sum(map(cpu_seconds, running))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fromnoise", *command],
            check=True,
            env=clean | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall, after = time.perf_counter() - began, meter.read()  # what ended with the child counts as our own time
        looped = sum(map(cpu_seconds, running)) - looped
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    load = meter.load(before, after)
    others = None if load.free is None else max(0.0, len(affinity()) - load.free - looped / load.seconds)
    changes = [[line["before"], line["threads"]] for line in lines if line.get("event") == "threads"]
    images = max(line["images"] for line in lines)
    return {"images": images, "wall": wall, "changes": changes, "other_cpus": others}


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """CPU time of a running process so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    heading = ["busy loops", *VARIANTS, "by default: time", "changes of threads"]
    rows, others = [], []
    for loops, row in sorted(found["rows"].items(), key=lambda item: int(item[0])):
        default = row["by default"]
        others += [turn["other_cpus"] or 0.0 for turns in row.values() for turn in turns]
        times = [turn["wall"] / parse_duration(found["budget"]) for turn in default]
        changes = "; ".join(" → ".join(map(str, change)) for turn in default for change in turn["changes"])
        cells = [with_range(spread_of(row[name])) for name in VARIANTS]
        rows.append([loops, *cells, f"{100 * max(times):.0f} %", changes or "none"])
    return (
        f"# Training beside busy programs\n\n`{found['command']}`, on {in_words(found['machine'])}.\n\n"
        f"Images seen by `fromnoise train {found['data']} --recipe {found['recipe']} --budget {found['budget']}` "
        "beside so many endless loops of other processes: medians, least and most in brackets. `by default`: as many "
        "threads as other programs leave room for; `all threads`: as many as there are CPUs, as torch does by itself; "
        "`passive`: with OMP_WAIT_POLICY=passive. The time is from the start of the process to its end, the longest of "
        "its turns, in percent of the budget. Besides, the machine's other processes used "
        f"{short(statistics.median(others), 2)} CPUs in the median and at most {short(max(others), 2)}.\n\n"
        f"{table(heading, rows)}\n"
    )


def spread_of(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Median, least and most of the images seen."""
    images = [turn["images"] for turn in turns]
    return {"median": statistics.median(images), "min": min(images), "max": max(images)}


def main() -> None:
    """Measure in turns and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", default="0,1,2,3,4")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--recipe", default="default-tiny")
    parser.add_argument("--budget", default="15s")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    args = parser.parse_args()
    stem = args.output_dir / "busy"
    settings = {"data": args.data, "recipe": args.recipe, "budget": args.budget}
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    if stem.with_suffix(".json").exists():
        earlier = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        if {name: earlier[name] for name in settings} == settings:
            rows = earlier["rows"]
    for loops in args.loops.split(","):
        row: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
        for _ in range(args.rounds):
            for variant, turns in row.items():
                turns.append(measure(variant, int(loops), args.data, args.recipe, args.budget))
                print(f"{loops} loops, {variant}: {turns[-1]}", file=sys.stderr, flush=True)
        rows[loops] = row
    command = f"python benchmarks/busy.py {shlex.join(sys.argv[1:])}".strip()
    found = {"command": command, "machine": machine(), **settings, "rows": rows}
    keep(stem, found, page(found))


if __name__ == "__main__":
    main()
