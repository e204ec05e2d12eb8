"""docs/images/studio.webp: the studio while a run trains, filmed from its own page.

    python scripts/studio_film.py [--budget 40s] [--data digits] [--out docs/images/studio.webp]

It trains a run in a temporary folder, follows it in Chromium through Playwright, and then opens the playground and the
microscope. The film is silent about the machine: no path and no address is seen.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 1120, 760
SIDE = 840  # pixels of the film's width
MOST_BYTES = 2_000_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


class Film:
    """Frames with the milliseconds that each is seen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, milliseconds: int) -> None:
        """Add the page as it looks now; an equal frame is only seen longer."""
        frame = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        frame = frame.resize((SIDE, round(SIDE * HEIGHT / WIDTH)), Image.Resampling.LANCZOS)
        if self.frames and self.frames[-1].tobytes() == frame.tobytes():
            self.times[-1] += milliseconds
        else:
            self.frames.append(frame)
            self.times.append(milliseconds)

    def save(self, path: Path) -> int:
        """Write the film, with less quality where it would be too large; returns its size in bytes."""
        for quality in (80, 65, 50, 35, 20):
            more: dict[str, Any] = {
                "append_images": self.frames[1:],
                "duration": self.times,
                "loop": 0,
                "quality": quality,
            }
            self.frames[0].save(path, save_all=True, method=4, **more)
            if path.stat().st_size < MOST_BYTES:
                break
        return path.stat().st_size


@contextmanager
def begun(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command of fromnoise, ended at the end."""
    process = subprocess.Popen([sys.executable, "-m", "fromnoise", *words], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def film(data: str, budget: str, out: Path) -> None:
    """Train, look and write the film."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        runs = Path(place) / "runs"
        train = ("train", data, "--budget", budget, "--output_dir", str(runs / data), "--previews", "24")
        with begun("studio", str(runs), "--no_browser") as studio, begun(*train) as training:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[-1]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", locale="en-US")
            page.goto(address)
            taken = Film(page)
            page.get_by_role("link", name=data, exact=True).click()
            page.wait_for_selector(".film img:not([hidden])", timeout=300_000)
            while training.poll() is None:
                taken.take(250)
                time.sleep(1.0)
            page.locator("#state.finished").wait_for()
            taken.take(1500)
            page.get_by_role("link", name="Playground").click()
            page.wait_for_selector(".stage[data-drawn]")
            taken.take(1200)
            for step in range(int(page.get_attribute(".stage input[type=range]", "max") or 0), -1, -1):
                page.get_by_label("Step of sampling").fill(str(step))
                taken.take(300)
            page.get_by_role("link", name="Microscope").click()
            page.wait_for_selector(".walk[data-drawn]")
            for part in (10, 30, 50, 70, 85, 95):
                page.get_by_role("slider", name="Noise").fill(str(part))
                page.wait_for_timeout(600)
                taken.take(600)
            browser.close()
        out.parent.mkdir(parents=True, exist_ok=True)
        print(f"{out}: {len(taken.frames)} frames, {taken.save(out):,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--budget", default="40s")
    parser.add_argument("--out", type=Path, default=Path("docs/images/studio.webp"))
    given = parser.parse_args()
    film(given.data, given.budget, given.out)
