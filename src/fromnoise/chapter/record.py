"""What the chapter measures and draws: numbers beside the published ones, figures as files, training histories."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fromnoise.chapter.published import EPOCH_LOSSES, LOSSES, NETWORKS, RERUNS, WHOLE_TRAINING
from fromnoise.common.durations import format_duration
from fromnoise.common.files import write_bytes
from fromnoise.common.progress import report_progress
from fromnoise.common.version import __version__
from fromnoise.figures.encode import FigureLike, as_image
from fromnoise.figures.grid import save
from fromnoise.model.shares import in_first, shared
from fromnoise.report.html import Table
from fromnoise.run import Run

Value = int | float | Sequence[int] | None
LAST_STEPS = 50  # how many of the last steps a "last loss" is the mean of, at most a quarter of them all
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Quantity:
    """One number. published: None where there is none; ours: None where the part of the training that was done does
    not reach it. note: what part ours stands for, and what else to know.
    """

    name: str
    section: str
    published: Value
    ours: Value
    note: str = ""

    @property
    def difference(self) -> str:
        """(ours - published) / published in percent, "none", or "" where one of them is missing or not a number."""
        if not isinstance(self.published, int | float) or not isinstance(self.ours, int | float):
            return ""
        return "none" if self.ours == self.published else f"{100 * (self.ours / self.published - 1):+.1f} %"


@dataclass(frozen=True)
class Shown:
    """A figure or a table on the page."""

    caption: str
    figure: FigureLike | None = None
    table: Table | None = None


@dataclass(frozen=True)
class History:
    """A training: images seen and loss after each step, and how many steps an epoch has.

    part: how much training it is, such as "quick: 20,480 of 180,000 images".
    """

    name: str
    part: str
    seen: list[int]
    losses: list[float]
    steps_per_epoch: int

    @property
    def images(self) -> int:
        """Images seen, repeats counted."""
        return self.seen[-1]

    def epochs(self, count: int = 3) -> list[float | None]:
        """The mean of the step losses of each epoch; None for one that was not completed."""
        parts = [self.losses[i * self.steps_per_epoch : (i + 1) * self.steps_per_epoch] for i in range(count)]
        return [float(np.mean(part)) if len(part) == self.steps_per_epoch else None for part in parts]

    def last(self) -> tuple[int, float]:
        """(how many images, their mean loss) at the end of the training."""
        width = max(1, min(LAST_STEPS, len(self.losses) // 4))
        before = self.seen[-width - 1] if len(self.seen) > width else 0
        return self.images - before, float(np.mean(self.losses[-width:]))

    def curve(self, parts: int = 20) -> tuple[list[int], list[float]]:
        """(images seen, mean loss) over equal parts; the first, in which the loss falls from its start, is left out."""
        places = np.array_split(np.arange(len(self.losses)), min(parts, len(self.losses)))
        places = places[1:] if len(places) > 2 else places
        return [self.seen[p[-1]] for p in places], [float(np.mean(np.asarray(self.losses)[p])) for p in places]


class ChapterRecord:
    """All numbers and figures of one chapter, kept in `folder`.

    data: the name of the images; published numbers stand only beside those of "mnist". images: how many there are.
    quick: whether a stated part is trained.
    """

    def __init__(self, folder: str | Path, data: str, images: int, *, quick: bool, seed: int) -> None:
        self.folder, self.quick, self.compared = Path(folder), quick, data == "mnist"
        self.about = {"mode": "quick" if quick else "full", "data": data, "images": images, "seed": seed}
        self.images = images
        self.quantities: list[Quantity] = []
        self.trained: list[dict[str, Any]] = []
        self.began = time.monotonic()

    def part(self, images: int) -> str:
        """How much training a number stands for: "180,000 images", or "quick: 20,480 of 180,000 images"."""
        if images >= WHOLE_TRAINING:
            return f"{images:,} images"
        return f"{'quick' if self.quick else 'a part'}: {images:,} of {WHOLE_TRAINING:,} images"

    def keep(self, section: str, name: str, ours: Value, published: Value = None, note: str = "") -> Quantity:
        """Keep a number for chapter.json; `published` is dropped where it is not for these images."""
        self.quantities.append(Quantity(name, section, published if self.compared else None, ours, note))
        return self.quantities[-1]

    def measure(self, section: str, name: str, ours: Value, published: Value = None, note: str = "") -> None:
        """Keep a number, and print it beside the published one."""
        kept = self.keep(section, name, ours, published, note)
        beside = [f"published {readable(kept.published)}"] * (kept.published is not None)
        beside += [f"difference {kept.difference}"] * bool(kept.difference) + [note] * bool(note)
        print(f"{name}: {readable(ours)}" + (f" ({'; '.join(beside)})" if beside else ""), flush=True)

    def figure(self, name: str, figure: FigureLike, caption: str) -> None:
        """Write a figure as figures/<name>.png and show it, on the page or in the notebook."""
        in_first(lambda: save(figure, self.folder / "figures" / f"{name}.png"))
        _show(Shown(caption, figure=figure))

    def table(self, rows: Table, caption: str = "") -> None:
        """Show a table whose first row is the heading."""
        _show(Shown(caption, table=rows))

    def train(self, name: str, run: Run) -> History:
        """Train `run` to its end, from its last checkpoint; progress goes to standard error."""
        _train(name, run)
        shared().barrier()  # what one process wrote, all read
        steps = [line for line in run.folder.read_metrics() if "step" in line]
        per_epoch = -(-self.images // steps[0]["images"])
        part, seconds = self.part(steps[-1]["images"]), float(steps[-1]["seconds"])
        history = History(name, part, [s["images"] for s in steps], [s["loss"] for s in steps], per_epoch)
        rate = round(history.images / max(seconds, 0.01), 1)
        about = {"network": name, "images": history.images, "part": part}
        self.trained.append({**about, "seconds": seconds, "images_per_second": rate})
        print(f"{name}: {part}, {format_duration(seconds)}", flush=True)
        return history

    def losses(self, section: str, history: History) -> None:
        """The mean losses of the three epochs beside the published; of the last images where epochs are missing."""
        name, part, epochs = history.name, history.part, history.epochs()
        for i, loss in enumerate(epochs if self.compared else ()):
            seeds = ", ".join(readable(losses[i]) for losses in RERUNS[name])
            note = f"other seeds: {seeds}" if loss is not None else f"{part}, so this epoch was not completed"
            add = self.keep if loss is None else self.measure
            add(section, f"{name}, mean loss of epoch {i + 1}", loss, EPOCH_LOSSES[name][i], note)
        if not self.compared or None in epochs:
            images, last = history.last()
            self.measure(section, f"{name}, mean loss of the last {images:,} images", last, note=part)

    def comparison(self) -> Table:
        """The numbers that have a published one, as a table with both."""
        chosen = [q for q in self.quantities if q.published is not None]
        rows = [(q.name, readable(q.published), readable(q.ours), q.difference, q.note) for q in chosen]
        return [("quantity", "published", "ours", "difference", "note"), *rows]

    def write(self, device: str, reason: str) -> Path | None:
        """Write chapter.json: every quantity, and what is needed to repeat them. Returns its path."""
        numbers = {
            **self.about,
            "seconds": round(time.monotonic() - self.began, 1),
            "machine": {**_machine(), "device": device, "reason": reason},
            "versions": versions("torch", "diffusers", "python"),
            "sources": {"networks and parameter counts": NETWORKS, "published losses": LOSSES},
            "trained": self.trained,
            "quantities": [asdict(quantity) for quantity in self.quantities],
        }
        content = json.dumps(numbers, indent=1, ensure_ascii=False).encode()
        return in_first(lambda: write_bytes(self.folder / "chapter.json", content))


def versions(*names: str) -> dict[str, str]:
    """The version of fromnoise, which may run without being installed, and of Python or packages of those names."""
    return {"fromnoise": __version__} | {n: platform.python_version() if n == "python" else version(n) for n in names}


def readable(value: Value) -> str:
    """A value as it is read: 309,057; 0.026962; 3.0e-08; (8, 1, 28, 28)."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.6f}"
    return f"{value:,}" if isinstance(value, int) else f"({', '.join(map(str, value))})"


def _machine() -> dict[str, Any]:
    """The system, the processor (which only Linux writes into a file), its cores and threads."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = named[0] if named else platform.processor() or platform.machine()
    counts = {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
    return {"system": platform.platform(), "processor": processor, **counts}


def _train(name: str, run: Run) -> None:
    """Train to the end, with a line every few seconds."""
    printed = time.monotonic()
    for step in run.steps():
        if time.monotonic() - printed > SECONDS_BETWEEN_LINES and step.read:
            printed = time.monotonic()
            place = f"{step.images:,} of {step.total:,} images"
            rate = f"loss {step.read[-1].loss:.4f}, {step.images_per_second:,.0f} images/s"
            report_progress(f"{name}: {place}, {rate}")


def _show(shown: Shown) -> None:
    """On the page that is being made, which stands in for standard output, or in a notebook; nowhere else."""
    if hasattr(sys.stdout, "show"):
        sys.stdout.show(shown)
    elif "ipykernel" in sys.modules:
        from IPython.display import display

        if shown.figure is not None:
            display(as_image(shown.figure))  # type: ignore[no-untyped-call]
        print(*["  ".join(map(str, row)) for row in shown.table or ()], shown.caption, sep="\n")
