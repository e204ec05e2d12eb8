"""Damages files in many ways, reads each, and sees that only errors of fromnoise's own come out, soon, in bounds.

    python scripts/fuzz.py                 2,000 damaged files for each reader; prints a table; fails on a traceback
    python scripts/fuzz.py png npz -n 300  only these readers, fewer files
    python scripts/fuzz.py --write         also keeps the table in docs/results/fuzz.md and fuzz.json

`tests/test_fuzz.py` does the same with 300 files each. A damaged file follows from the reader's name and its number
alone, so what failed once can be looked at again: `python scripts/fuzz.py png --only 1234`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from fuzz_readers import READERS, Reader
from mutate import damaged

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "results" / "fuzz.md"
LONGEST = 20.0  # seconds for one file; the slowest takes a tenth of that, so more is a hang
MOST_MEMORY = 3 * 2**30  # bytes of address space beyond those that the process has when it starts to read


class Hang(BaseException):
    """A reader that has not returned after LONGEST seconds; no `except Exception` may take it for damage."""


@dataclass
class Tally:
    """What became of the files given to one reader."""

    reader: str
    tried: int = 0
    read: int = 0
    refused: int = 0
    tracebacks: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    worst_seconds: float = 0.0
    peak_megabytes: float = 0.0
    megabytes_before: float = 0.0

    def add(self, number: int, outcome: str, seconds: float) -> None:
        """Count one file; outcome: "read", "refused", or the error that came out."""
        self.tried += 1
        self.worst_seconds = max(self.worst_seconds, seconds)
        if outcome in ("read", "refused"):
            setattr(self, outcome, getattr(self, outcome) + 1)
        else:
            self.tracebacks[outcome] = self.tracebacks.get(outcome, 0) + 1
            self.first.setdefault(outcome, number)


def fuzzed(reader: Reader, numbers: range, place: Path) -> Tally:
    """Read the damaged files of these numbers in the folder `place`."""
    tally = Tally(reader.name)
    with working_in(place):
        samples = reader.make(place)
        reader.read(place)  # what is whole is read, and everything is imported before memory is bounded
        tally.megabytes_before = _peak()
        with bounded_memory(), time_limit() as restart:
            for number in numbers[:: reader.one_in]:
                sample = samples[number % len(samples)]
                sample.path.write_bytes(sample.wrap(damaged(sample.content, f"{reader.name} {number}")))
                restart()
                began = time.perf_counter()
                outcome = _outcome(reader, place)
                tally.add(number, outcome, time.perf_counter() - began)
                sample.path.write_bytes(sample.wrap(sample.content))
    tally.peak_megabytes = _peak()
    return tally


def _outcome(reader: Reader, place: Path) -> str:
    from fromnoise.common.errors import FromNoiseError

    try:
        reader.read(place)
    except FromNoiseError:
        return "refused"
    except (Exception, Hang) as error:
        frame = [
            one for one in traceback.extract_tb(error.__traceback__) if one.filename != __file__ or one.name != "stop"
        ][-1]
        return f"{type(error).__name__} in {Path(frame.filename).name} {frame.name}"
    return "read"


@contextlib.contextmanager
def working_in(place: Path) -> Iterator[None]:
    """What readers print goes nowhere, and what they leave lying about goes into `place`."""
    with (
        contextlib.chdir(place),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """A reader that wants more than MOST_MEMORY meets a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def time_limit() -> Iterator[Callable[[], object]]:
    """Gives what starts the clock again; Hang where that does not happen for LONGEST seconds."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, LONGEST)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _alone(name: str, numbers: range) -> Tally:
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"FROMNOISE_CACHE": f"{place}/cache", "FROMNOISE_OFFLINE": "1"}
        return fuzzed(READERS[name], numbers, Path(place))


def table(tallies: list[Tally]) -> str:
    """A Markdown table, one line a reader, and their sum."""
    lines = [
        "| reader | tried | refused | read | tracebacks | worst seconds | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in tallies:
        numbers = [f"{n:,}" for n in (one.tried, one.refused, one.read, sum(one.tracebacks.values()))]
        lines.append(
            f"| {one.reader} | {' | '.join(numbers)} | {one.worst_seconds:.2f} | {one.peak_megabytes:,.0f} "
            f"(+{one.peak_megabytes - one.megabytes_before:,.0f}) |"
        )
    sums = [sum(getattr(one, name) for one in tallies) for name in ("tried", "refused", "read")]
    sums.append(sum(sum(one.tracebacks.values()) for one in tallies))
    worst, peak = (max(getattr(one, name) for one in tallies) for name in ("worst_seconds", "peak_megabytes"))
    return "\n".join([*lines, f"| all | {' | '.join(f'{n:,}' for n in sums)} | {worst:.2f} | {peak:,.0f} |"]) + "\n"


def write(tally: Tally) -> None:
    """Keep what one reader came to in docs/results/fuzz.md and fuzz.json."""
    kept = PAGE.with_suffix(".json")
    before = [Tally(**one) for one in json.loads(kept.read_text())] if kept.exists() else []
    found = {one.reader: one for one in (*before, tally)}
    rows = [found[name] for name in READERS if name in found]
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index("| reader |")] + table(rows), encoding="utf-8")
    kept.write_text(json.dumps([asdict(one) for one in rows], indent=1) + "\n")


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("-n", type=int, default=2000, help="damaged files for each reader (default: 2000)")
    parser.add_argument("--only", type=int, help="only the damaged file of this number, and show the traceback")
    parser.add_argument("--write", action="store_true", help="keep the result in docs/results")
    args = parser.parse_args()
    names = args.readers or list(READERS)
    if args.only is not None:
        show(READERS[names[0]], args.only)
        return 0
    # A process for each reader, so that one's memory does not count for the next.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        tallies = []
        for tally in pool.map(_alone, names, [range(args.n)] * len(names)):
            tallies.append(tally)
            print(table([tally]).splitlines()[2], flush=True)
            if args.write:
                write(tally)
            for error, number in tally.first.items():
                print(f"    {tally.tracebacks[error]} x {error}, first {number}", flush=True)
    print(table(tallies))
    return int(any(one.tracebacks for one in tallies))


def show(reader: Reader, number: int) -> None:
    """The traceback of one damaged file, which stays for a look."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    with contextlib.chdir(place):
        samples = reader.make(place)
        sample = samples[number % len(samples)]
        sample.path.write_bytes(sample.wrap(damaged(sample.content, f"{reader.name} {number}")))
        print(sample.path)
        reader.read(place)


if __name__ == "__main__":
    sys.exit(main())
