"""What the studio takes from a training beside it, and how fast its pages answer meanwhile.

    python benchmarks/studio.py [--turns 14] [--seconds 4]

Two trainings: one beside a studio with a client, which follows the streams of the table and of the run and asks for the
curves every two seconds, as the page does; one beside a studio whose page Chromium shows. In each the watchers stand
still (SIGSTOP) in every second turn of some seconds, and a turn with them is compared with those around it: trainings
one after the other differ by more than what is to be measured. Then a thousand run folders are listed, for the first
time and again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import in_words, machine, table

from fromnoise.studio.index import RunIndex

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


class Client:
    """Follows the streams below `address` and asks for the curves, until it is stopped."""

    def __init__(self, address: str) -> None:
        self.address, self.stopped = address, threading.Event()
        self.milliseconds: list[float] = []
        self.may_ask = threading.Lock()
        targets = (self._follow, "api/runs/live"), (self._ask, "")
        self.threads = [threading.Thread(target=work, args=(place,), daemon=True) for work, place in targets]
        for thread in self.threads:
            thread.start()

    def _open(self, place: str) -> Any:
        return urllib.request.urlopen(self.address + place, timeout=30)

    def _follow(self, place: str) -> None:
        with self._open(place) as stream:
            while not self.stopped.is_set():
                stream.readline()

    def _ask(self, _: str) -> None:
        followed = False
        while not self.stopped.wait(2):
            self._timed("")
            rows = json.loads(self._timed("api/runs"))["runs"]
            for row in rows:
                if not followed:
                    place = f"api/runs/{row['id']}/live"
                    threading.Thread(target=self._follow, args=(place,), daemon=True).start()
                    followed = True
                self._timed(f"api/runs/{row['id']}/curves?points=600")

    def _timed(self, place: str) -> bytes:
        with self.may_ask:
            began = time.perf_counter()
            with self._open(place) as answer:
                content: bytes = answer.read()
            self.milliseconds.append(1000 * (time.perf_counter() - began))
        return content


class Watchers:
    """Processes that watch a training and can be told to stand still, and their client with them."""

    def __init__(self, *processes: subprocess.Popen[str], client: Client | None = None) -> None:
        self.processes, self.going = processes, True
        self.may_ask = client.may_ask if client else threading.Lock()

    def go(self, on: bool) -> None:
        """Let them work, or stand still, when the client has its last answer."""
        if on != self.going:
            (self.may_ask.release if on else self.may_ask.acquire)()
        self.going = on
        for process in self.processes:
            os.killpg(process.pid, signal.SIGCONT if on else signal.SIGSTOP)

    def processor_seconds(self) -> float:
        """What the studio itself has computed so far."""
        fields = Path(f"/proc/{self.processes[0].pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def begun(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, ended in the end."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def followed(folder: Path) -> Iterator[tuple[Watchers, list[float]]]:
    """A studio on `folder` with one client, and the milliseconds of its requests."""
    with begun(sys.executable, "-m", "fromnoise", "studio", str(folder), "--no_browser") as process:
        client = Client(address(process))
        watchers = Watchers(process, client=client)
        yield watchers, client.milliseconds
        client.stopped.set()
        watchers.go(True)


@contextmanager
def shown(folder: Path) -> Iterator[tuple[Watchers, list[float]]]:
    """A studio on `folder` whose page Chromium shows: the table, then the run."""
    script = """
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=sys.argv[2], args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.locator("tbody a").first.click(timeout=120_000)
    page.wait_for_timeout(600_000)
"""
    with (
        begun(sys.executable, "-m", "fromnoise", "studio", str(folder), "--no_browser") as process,
        begun(sys.executable, "-c", script, address(process), shutil.which("chromium") or "") as browser,
    ):
        yield Watchers(process, browser), []


def address(process: subprocess.Popen[str]) -> str:
    """Where a studio listens."""
    assert process.stdout is not None
    return process.stdout.readline().split()[-1].partition("?")[0]


def listed(run: Path, count: int = 1000) -> dict[str, float]:
    """Seconds that a list of `count` copies of `run` takes, for the first time and again."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            folder = Path(place) / f"run-{number:04d}"
            (folder / "samples").mkdir(parents=True)
            for name in ("config.json", "metrics.jsonl", "session.json"):
                shutil.copy(run / name, folder / name)
        index, seconds = RunIndex(Path(place)), []
        for _ in range(2):
            began = time.perf_counter()
            assert len(index.rows()) == count
            seconds.append(time.perf_counter() - began)
    return {"count": count, "first": seconds[0], "again": seconds[1]}


def logged(run: Path) -> list[dict[str, Any]]:
    """The lines of the steps in a run's log so far."""
    text = (run / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if "step" in line and "event" not in line]


def watched(watch: Any, folder: Path, turns: int, seconds: float) -> dict[str, Any]:
    """Train in `folder`, watched in every second turn: images a second of each turn, and what the studio computed."""
    run, marks, used = folder / "run", [], 0.0
    command = [sys.executable, "-m", "fromnoise", "train", "digits", "--recipe", "default-small", "--previews", "0"]
    command += ["--set", "train.log_every=1", "--num_images", "10000000", "--output_dir", str(run)]
    with watch(folder) as (watchers, milliseconds), begun(*command):
        while not (run / "metrics.jsonl").exists() or len(logged(run)) < 100:
            time.sleep(1)
        time.sleep(5)  # the client and the page find the run
        for turn in range(2 * turns + 1):
            watchers.go(bool(turn % 2))
            before = watchers.processor_seconds()
            marks.append(logged(run)[-1])
            time.sleep(seconds)
            used += watchers.processor_seconds() - before
        marks.append(logged(run)[-1])
    speeds = [
        (after["images"] - before["images"]) / (after["seconds"] - before["seconds"])
        for before, after in pairwise(marks)
    ]
    return {
        "alone": speeds[::2],
        "watched": speeds[1::2],
        "lost": [1 - 2 * speeds[k] / (speeds[k - 1] + speeds[k + 1]) for k in range(1, len(speeds), 2)],
        "processor_share": used / (turns * seconds * (os.cpu_count() or 1)),
        "milliseconds": list(milliseconds),
    }


def measure(turns: int, seconds: float) -> dict[str, Any]:
    """The speeds of a training alone and watched, in turns, and how long the pages took meanwhile."""
    with tempfile.TemporaryDirectory() as place:
        client = watched(followed, Path(place) / "followed", turns, seconds)
        browser = watched(shown, Path(place) / "shown", turns, seconds)
        listing = listed(Path(place) / "followed" / "run")
    took = client.pop("milliseconds")
    del browser["milliseconds"]
    return {
        "machine": machine(),
        "turns": turns,
        "seconds": seconds,
        "client": client,
        "browser": browser,
        "listing": listing,
        "milliseconds": {"median": statistics.median(took), "max": max(took), "count": len(took)},
    }


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    took, listing, rows = found["milliseconds"], found["listing"], []
    for name, words in (("client", "a client"), ("browser", "Chromium")):
        one = found[name]
        low, middle, high = statistics.quantiles(one["lost"], n=4)
        error = 1.253 * statistics.stdev(one["lost"]) / len(one["lost"]) ** 0.5  # of a median
        speeds = [f"{statistics.median(one[key]):,.0f}" for key in ("alone", "watched")]
        rows.append([words, *speeds, f"{middle:.1%} ± {error:.1%}", f"{low:.1%} to {high:.1%}",
                     f"{one['processor_share']:.1%}"])  # fmt: skip
    heading = ["beside", "images/s alone", "images/s watched", "lost, median", "quartiles", "the studio's own share"]
    return f"""# What the studio takes

`python benchmarks/studio.py --turns {found["turns"]}`: a training of `default-small` on the digits, watched in
every second turn of {found["seconds"]:g} s, {found["turns"]} times; in between the watchers stand still. "Lost"
compares a watched turn with the two around it. The studio's own share is its processor time in watched turns, of all
cores. A client follows the streams of the table and of the run and asks for the page, the table and the curves every
two seconds; Chromium shows the run's own page, and draws it on the same cores.

{in_words(found["machine"])}.

{table(heading, rows)}

The client got {took["count"]} answers meanwhile, in {took["median"]:.0f} ms in the median and {took["max"]:.0f} ms at
most.

A list of {listing["count"]:,} run folders takes {listing["first"]:.2f} s when they are read for the first time, and
{listing["again"]:.2f} s from then on.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    result = measure(given.turns, given.seconds)
    (given.out / "studio.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "studio.md").write_text(page(result))
    print(page(result))
