"""A soak: a training that is stopped and killed again and again, beside one that nobody disturbs; they must end equal.

    python benchmarks/soak.py --minutes 30 --every 60              (docs/results/soak.json and .md)

Both train the same tiny run through the command line, each on one thread. The one is ended every so often, at a random
moment, by SIGKILL, SIGTERM, SIGINT or two signals, and the same command follows. In the end every file of weights, the
averages for other lengths and the lines of steps in metrics.jsonl are compared, and what is left over is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, keep, machine, table

WAYS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGTERM, then SIGKILL": (signal.SIGTERM, signal.SIGKILL),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
CHANCES = (4, 2, 2, 1, 1)
LONGEST_LIFE = 3600.0


def main() -> None:
    """Calibrate, let both train, compare, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--recipe", default="default-tiny")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--minutes", type=float, default=30.0, help="about how long the disturbed one takes")
    parser.add_argument("--every", type=float, default=60.0, help="seconds from one end to the next, on average")
    parser.add_argument("--checkpoint_every", default=None, help="by default a sixth of --every")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the ways")
    parser.add_argument("--out", type=Path, default=RESULTS / "soak")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = soak(args, Path(place))
    keep(args.out, found, page(found))
    sys.exit(0 if found["equal"] else 1)


def soak(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    """What the two runs have in common in the end, as plain JSON."""
    between = args.checkpoint_every or f"{args.every / 6:g}s"
    words = ["train", args.data, "--recipe", args.recipe, *(word for one in args.set for word in ("--set", one))]
    images = int(0.5 * 60 * args.minutes * _speed(words, place))
    words += ["--num_images", str(images), "--checkpoint_every", between, "--previews", "2"]
    began = time.monotonic()
    alone, alone_path = _begin(words, place / "alone"), place / "alone"
    ends, lives = _disturbed(words, place / "disturbed", args.every, random.Random(args.seed))
    alone.wait()
    compared = _compare(alone_path, place / "disturbed")
    return {
        "command": f"python benchmarks/soak.py --minutes {args.minutes:g} --every {args.every:g} --seed {args.seed}",
        "training": " ".join(words),
        "images": images,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "lives": lives,
        "ends": dict(ends),
        **compared,
        "machine": machine(),
    }


def _begin(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fromnoise", *words, "--output_dir", str(folder)]
    with Path(f"{folder}.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _speed(words: list[str], place: Path) -> float:
    """Images per second of one such training beside nothing, its start left out."""
    _begin([*words, "--budget", "15s"], place / "speed").wait()
    lines = [json.loads(line) for line in (place / "speed" / "metrics.jsonl").read_text().splitlines()]
    return float([line for line in lines if "step" in line][-1]["images_per_second"])


def _disturbed(words: list[str], folder: Path, every: float, rng: random.Random) -> tuple[Counter[str], int]:
    """(how often it was ended in each way, how many lives it took)."""
    ends: Counter[str] = Counter()
    log = Path(f"{folder}.log")
    for lives in range(1, 100_000):
        before = log.stat().st_size if log.exists() else 0
        process = _begin(words, folder)
        if rng.random() < 0.8:  # a busy machine may need longer to start than to the next end
            _until_training(process, log, before)
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.3, 1.7) * every)
        if process.poll() is None:
            (way,) = rng.choices(list(WAYS), CHANCES)
            ends[way] += 1
            for number in WAYS[way]:
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0.0, 0.3))
        code = process.wait(LONGEST_LIFE)
        if code == 0:
            return ends, lives
        if code not in (130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
            raise SystemExit(f"a life ended with {code}: {Path(f'{folder}.log').read_text()[-2000:]}")
    raise SystemExit("it never ended")


def _until_training(process: subprocess.Popen[bytes], log: Path, before: int) -> None:
    """Wait until `log`, of `before` bytes, says where training begins, or until the process ends."""
    said = (b"going on at", b"starting from", b"finished")
    while process.poll() is None and not any(words in log.read_bytes()[before:] for words in said):
        time.sleep(0.2)


def _compare(alone: Path, disturbed: Path) -> dict[str, Any]:
    """Whether weights, averages and logs are equal, and what is left over."""

    def content(folder: Path) -> dict[str, bytes]:
        newest = max((p for p in (folder / "checkpoints").iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
        files = [*newest.glob("*.safetensors"), *(folder / "averages").glob("*")]
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}

    def steps(folder: Path) -> list[tuple[int, int, float]]:
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        return [(line["step"], line["images"], line["loss"]) for line in lines if "step" in line]

    mine, theirs = content(alone), content(disturbed)
    unequal = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    strays = sorted(str(path.relative_to(disturbed)) for path in disturbed.rglob(".*"))
    same_log = steps(alone) == steps(disturbed)
    return {
        "equal": not unequal and same_log,
        "files": len(mine),
        "unequal": unequal,
        "log_lines": len(steps(alone)),
        "log_equal": same_log,
        "left_over": strays,
    }


def page(found: dict[str, Any]) -> str:
    """The result in words."""
    ways = [[way, str(count)] for way, count in found["ends"].items()]
    verdict = "equal, bit for bit" if found["equal"] else f"NOT equal ({', '.join(found['unequal']) or 'the log'})"
    return "\n".join(
        [
            "# A soak",
            "",
            f"`{found['command']}`: `fromnoise {found['training']}` was ended {sum(found['ends'].values())} times in",
            f"{found['minutes']:g} minutes and took {found['lives']} lives, beside the same training undisturbed.",
            "",
            table(["ended by", "times"], ways),
            "",
            f"In the end, {found['files']} files of weights, moments and averages and {found['log_lines']:,} lines of",
            f"steps are {verdict}. Left over in the run folder: {', '.join(found['left_over']) or 'nothing'}.",
            "",
            f"Machine: {in_words(found['machine'])}.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
