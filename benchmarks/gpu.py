"""What the default recipe does on a GPU, in at most ten minutes: one command, one page with the card's name.

    python benchmarks/gpu.py --prepare      # beforehand: the classifier that scores, and the peers' environments
    python benchmarks/gpu.py                # the measurement; the GPU should do nothing else
    python benchmarks/gpu.py --parts compiled,peers      # what was left out joins the page of the same card
    python benchmarks/gpu.py --device cpu --quick --output_dir trial     # tries the script alone

Parts, in this order: images per second at four sizes beside the card's own matrix multiplications; the seconds to the
quality that two CPU cores reach in 600; that run in few steps, and distilled; torch.compile; peers on the same clock.
Each part is a process of its own with a deadline, at which it is ended; its rows until then are kept. A part for which
too little of the time is left is left out, and the page says so. Page and JSON are written after every part, as
docs/results/gpu-<card>.json and .md. --prepare needs a network; without it peers that are not there are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common import RESULTS, machine, write
from gpu_page import TITLES, page

from fromnoise.common.durations import process_start
from fromnoise.common.errors import FromNoiseError, UsageError

TOTAL = 600.0  # seconds for everything, from the start of the process
RESERVE = 10.0  # seconds kept back, to end a part and to write the page


@dataclass(frozen=True)
class Part:
    """needs: seconds without which it is not begun. most: seconds after which it is ended."""

    name: str
    needs: float
    most: float


@dataclass
class Outcome:
    """Rows that a part printed, the seconds it took, and how it ended: "done", or why it is not whole."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    said: str = "done"


PARTS = (
    Part("speed", 25, 130),
    Part("quality", 60, 250),
    Part("few_steps", 20, 50),
    Part("distilled", 45, 70),
    Part("compiled", 50, 160),
    Part("peers", 40, 120),
)
assert [part.name for part in PARTS] == list(TITLES)


def seconds_for(part: Part, left: float) -> float:
    """What `part` may take where `left` seconds are left; 0 where that is less than it needs."""
    allowed = min(part.most, left - RESERVE)
    return allowed if allowed >= part.needs else 0.0


def carried_out(
    parts: Sequence[Part], left: Callable[[], float], start: Callable[[Part, float], Outcome]
) -> Iterator[tuple[Part, Outcome]]:
    """Each part with what came of it: started with the seconds it may take, or left out where they do not suffice."""
    for part in parts:
        now = left()
        if allowed := seconds_for(part, now):
            yield part, start(part, allowed)
        else:
            words = f"left out: {max(0.0, now - RESERVE):.0f} s were left of the plan, and it needs {part.needs:g}"
            yield part, Outcome(said=words)


def started(command: Sequence[str], seconds: float, env: dict[str, str] | None = None) -> Outcome:
    """Run `command`, which prints a line of JSON for every row, and end it with all its children after `seconds`."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        process = subprocess.Popen(command, stdout=printed, env=env, start_new_session=True)
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):  # a training that it started too, and also where this one is interrupted
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed.seek(0)
        rows = [json.loads(line) for line in printed if line.startswith("{") and line.endswith("}\n")]
    said = "done" if code == 0 else f"ended with exit code {code}; rows before that are kept"
    if code is None:
        said = f"ended at its deadline after {seconds:.0f} s; rows before that are kept"
    return Outcome(rows, time.monotonic() - began, said)


def chosen(words: str | None) -> list[Part]:
    """The parts of these names, in their own order; UsageError for an unknown one."""
    names = [part.name for part in PARTS] if words is None else words.split(",")
    if unknown := sorted(set(names) - {part.name for part in PARTS}):
        raise UsageError(f"there is no part {', '.join(unknown)}; choose --parts of {', '.join(TITLES)}")
    return [part for part in PARTS if part.name in names]


def slug(card: str) -> str:
    """A card's name as part of a file's: NVIDIA H100 80GB HBM3 is nvidia-h100-80gb-hbm3."""
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def begun(stem: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What is kept at `stem` of the same machine, under `about`; without parts where there is nothing such."""
    path = stem.with_name(stem.name + ".json")
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if all(kept.get(name) == about[name] for name in ("machine", "quick")):
            return {**about, "parts": kept["parts"]}
    return {**about, "parts": {}}


def measured(args: argparse.Namespace, device: str) -> int:
    """Carry out the parts, writing the page after each; 1 where one of them failed."""
    about = {
        "command": f"python benchmarks/gpu.py {shlex.join(sys.argv[1:])}".strip(),
        "machine": machine(device),
        "quick": args.quick,
        "planned": args.seconds,
    }
    parts, stem = chosen(args.parts), args.output_dir / f"gpu-{slug(about['machine']['device'])}"
    found = begun(stem, about)
    env = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        own = [sys.executable, __file__, "--device", device, "--work", str(folder), *(["--quick"] * args.quick)]
        own += ["--environments", str(args.environments)]

        def start(part: Part, seconds: float) -> Outcome:
            print(f"{TITLES[part.name]}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
            return started([*own, "--be", part.name, "--seconds", f"{seconds}"], seconds, env)

        outcomes = []
        for part, outcome in carried_out(parts, lambda: args.seconds - (time.monotonic() - process_start()), start):
            outcomes.append(outcome)
            print(f"{TITLES[part.name]}: {outcome.said} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)
            if outcome.seconds or part.name not in found["parts"]:  # what was measured before is not left out
                found["parts"][part.name] = asdict(outcome)
            found["seconds"] = round(time.monotonic() - process_start(), 1)
            write(stem, found, page(found))
    print(page(found))
    return int(any("exit code" in outcome.said for outcome in outcomes))


def flags(argv: Sequence[str] | None) -> argparse.Namespace:
    """What is to be measured, and where it goes."""
    from fromnoise.data import cache_dir

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=TOTAL, help="for everything (default: 600)")
    parser.add_argument("--parts", help=f"some of {','.join(TITLES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny everything, to try the script")
    parser.add_argument("--prepare", action="store_true", help="only train the classifier and install the peers")
    parser.add_argument("--environments", type=Path, default=cache_dir() / "peers", help="where peers are installed")
    parser.add_argument("--work", type=Path, help="keep runs and samples here")
    parser.add_argument("--output_dir", type=Path, help="where the page goes (default: docs/results)")
    parser.add_argument("--be", choices=list(TITLES), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if (args.device == "cpu" or args.quick) and not (args.output_dir or args.be or args.prepare):
        raise UsageError("docs/results holds what a GPU did; give another place for this with --output_dir")
    args.output_dir = args.output_dir or RESULTS
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, prepare that, or (--be) be the process of one part."""
    args = flags(argv)
    import gpu_parts

    from fromnoise.train.hardware import choose_device

    extent = gpu_parts.QUICK if args.quick else gpu_parts.FULL
    if args.prepare:
        gpu_parts.prepare(extent, args.environments)
        return 0
    device = choose_device(args.device).name  # UsageError where there is no GPU
    if not args.be:
        return measured(args, device)
    deadline = process_start() + args.seconds
    for row in gpu_parts.WORK[args.be](gpu_parts.Job(device, extent, args.work, args.environments, deadline)):
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FromNoiseError as error:
        sys.exit(str(error))
