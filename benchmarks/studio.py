"""What the studio takes from a training beside it, and how fast its pages answer meanwhile.

    python benchmarks/studio.py [--turns 3] [--images 12000]

Trainings of one recipe in turns: alone; beside a studio with one client, which follows the streams of the table and of
the run and asks for the curves every two seconds, as the page does; and beside a studio whose page Chromium shows.
Then a thousand run folders are listed, for the first time and again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import machine, ratios, spread, table

from fromnoise.studio.index import RunIndex

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


class Client:
    """Follows the streams below `address` and asks for the curves, until it is stopped."""

    def __init__(self, address: str) -> None:
        self.address, self.stopped, self.milliseconds = address, threading.Event(), []
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
        began = time.perf_counter()
        with self._open(place) as answer:
            content: bytes = answer.read()
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        return content


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio on `folder`."""
    command = [sys.executable, "-m", "fromnoise", "studio", str(folder), "--no_browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1].partition("?")[0]
    finally:
        process.terminate()
        process.wait()


@contextmanager
def followed(folder: Path) -> Iterator[list[float]]:
    """A studio on `folder` with one client; gives the milliseconds of its requests."""
    with studio(folder) as address:
        client = Client(address)
        yield client.milliseconds
        client.stopped.set()


@contextmanager
def shown(folder: Path) -> Iterator[None]:
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
    with studio(folder) as address:
        browser = subprocess.Popen([sys.executable, "-c", script, address, shutil.which("chromium") or ""])
        try:
            yield
        finally:
            browser.terminate()
            browser.wait()


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


def speed(folder: Path, images: int) -> float:
    """Images per second of a training: the median of what its log says after the first third."""
    command = [sys.executable, "-m", "fromnoise", "train", "digits", "--recipe", "default-small"]
    command += ["--num_images", str(images), "--output_dir", str(folder), "--previews", "0"]
    subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    speeds = [line["images_per_second"] for line in lines if "step" in line]
    return statistics.median(speeds[len(speeds) // 3 :])


def measure(turns: int, images: int) -> dict[str, Any]:
    """The speeds of trainings alone and watched, in turns, and how long the pages took meanwhile."""
    alone, beside, browser, took = [], [], [], []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(turns):
            alone.append(speed(Path(place) / f"alone-{turn}" / "run", images))
            with followed(Path(place) / f"followed-{turn}") as milliseconds:
                beside.append(speed(Path(place) / f"followed-{turn}" / "run", images))
                took += milliseconds
            with shown(Path(place) / f"shown-{turn}"):
                browser.append(speed(Path(place) / f"shown-{turn}" / "run", images))
        listing = listed(Path(place) / "alone-0" / "run")
    return {
        "machine": machine(),
        "images": images,
        "alone": alone,
        "watched": beside,
        "browser": browser,
        "ratio": ratios(beside, alone),
        "browser_ratio": ratios(browser, alone),
        "listing": listing,
        "milliseconds": {"median": statistics.median(took), "max": max(took), "count": len(took)},
    }


def page(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    ratio, shown, took, listing = (found[key] for key in ("ratio", "browser_ratio", "milliseconds", "listing"))
    rows = [
        [name, *(f"{spread(found[key])[part]:,.0f}" for part in ("median", "min", "max"))]
        for name, key in (
            ("alone", "alone"),
            ("beside a client", "watched"),
            ("beside Chromium", "browser"),
        )
    ]
    return f"""# What the studio takes

`python benchmarks/studio.py`: {len(found["alone"])} trainings each, in turns, of `default-small` on the digits,
{found["images"]:,} images. A client follows the streams of the table and of the run and asks for the page, the table
and the curves every two seconds; Chromium shows the run's own page, and draws it on the same cores.

{table(["training", "images/s, median", "lowest", "highest"], rows)}

Ratio to the training alone, pair by pair: {ratio["median"]:.3f} ({ratio["min"]:.3f} to {ratio["max"]:.3f}) beside a
client, {shown["median"]:.3f} ({shown["min"]:.3f} to {shown["max"]:.3f}) beside Chromium.
The client got {took["count"]} answers meanwhile, in {took["median"]:.0f} ms in the median and {took["max"]:.0f} ms at
most.

A list of {listing["count"]:,} run folders takes {listing["first"]:.2f} s when they are read for the first time, and
{listing["again"]:.2f} s from then on.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    result = measure(given.turns, given.images)
    (given.out / "studio.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "studio.md").write_text(page(result))
    print(page(result))
