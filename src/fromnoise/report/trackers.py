"""Experiment trackers: where the records of metrics.jsonl, previews and settings can also be looked at.

A tracker is given rows, which are flat: "train/loss" of a training step, "validation/by_noise/3" of an event. Each has
its `images`, the horizontal axis everywhere. Nothing leaves the machine unless the user's own environment says so.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from PIL import Image

from fromnoise.common.errors import choose
from fromnoise.common.extras import extra

Row = Mapping[str, float | str]
PROJECT = "fromnoise"
OURS = ".fromnoise"  # the end of the names of event files that may be written again


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is given of a run.

    Arguments:
        path: the run folder.
        identity: of this run alone, eight letters and digits.
        settings: dotted name -> value.
        rows: how many rows it has been given in earlier sessions.
        began: when training began, in seconds since 1970.
    """

    path: Path
    identity: str
    settings: Mapping[str, Any]
    rows: int
    began: float


class Tracker(Protocol):
    """One tracker, open; `where` says where to look."""

    where: str

    def log(self, row: Row, images: int, seconds: float) -> None:
        """Add a row, after so many images and seconds of training."""

    def show(self, preview: Path, images: int, seconds: float) -> None:
        """Add a preview."""

    def flush(self) -> None:
        """Make what was added visible, where that waits."""

    def close(self) -> None:
        """End the session."""


class TensorBoard:
    """RUN/tensorboard, written again from the first row on; 32 bits a number, as TensorBoard keeps them."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = run.path / "tensorboard"
        former = list(folder.glob(f"events.out.tfevents.*{OURS}"))
        # purge_step: a TensorBoard that is open drops what it has read of the former file.
        self.writer = cast(Any, SummaryWriter(str(folder), purge_step=0, filename_suffix=OURS))
        for path in former:
            path.unlink(missing_ok=True)
        self.where, self.began = str(folder), run.began
        plain = {name: _plain(value) for name, value in run.settings.items()}
        for summary in hparams(plain, {"train/loss": 0, "validation/loss": 0}):
            self.writer.file_writer.add_summary(summary)

    def log(self, row: Row, images: int, seconds: float) -> None:
        """See `Tracker`."""
        for name, value in row.items():
            add: Callable[..., Any] = self.writer.add_text if isinstance(value, str) else self.writer.add_scalar
            add(name, value, images, walltime=self.began + seconds)

    def show(self, preview: Path, images: int, seconds: float) -> None:
        """See `Tracker`."""
        pixels = np.asarray(Image.open(preview).convert("RGB"))
        self.writer.add_image("preview", pixels, images, self.began + seconds, dataformats="HWC")

    def flush(self) -> None:
        """See `Tracker`."""
        self.writer.flush()

    def close(self) -> None:
        """See `Tracker`."""
        self.writer.close()


class Rows:
    """What wandb and trackio share: a run that takes one row after another, and makes images of files."""

    def __init__(self, run: Any, image: Callable[[str], Any], row: int) -> None:
        self.run, self.image, self.row = run, image, row

    def log(self, row: Row, images: int, seconds: float) -> None:
        """See `Tracker`."""
        self._add({**row, "images": images})

    def show(self, preview: Path, images: int, seconds: float) -> None:
        """See `Tracker`."""
        self._add({"preview": self.image(str(preview)), "images": images})

    def flush(self) -> None:
        """See `Tracker`."""

    def close(self) -> None:
        """See `Tracker`."""
        self.run.finish()

    def _add(self, row: dict[str, Any]) -> None:
        self.run.log(row, step=self.row)
        self.row += 1


class Wandb(Rows):
    """Weights & Biases, offline in RUN/wandb unless WANDB_MODE says otherwise: no machine, no code, no console."""

    def __init__(self, run: TrackedRun) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        quiet = {"console": "off", "silent": True, "disable_git": True, "save_code": False}
        unseen = {"x_disable_stats": True, "x_disable_meta": True, "x_disable_machine_info": True}
        known = wandb.Settings.model_fields
        started = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.path.resolve().name,
            id=run.identity,
            resume=None if mode == "offline" else "allow",
            dir=str(run.path),
            mode=mode,
            config=dict(run.settings),
            settings=wandb.Settings(**{name: value for name, value in (quiet | unseen).items() if name in known}),
        )
        super().__init__(started, wandb.Image, run.rows)
        self.run.define_metric("*", step_metric="images")
        folder = Path(self.run.dir).parent
        self.where = f"{folder} (offline; `wandb sync` sends it)" if mode == "offline" else str(self.run.url or folder)


class Trackio(Rows):
    """Trackio's database on this machine, unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL names another place."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        name = f"{run.path.resolve().name}-{run.identity}"
        own = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        taken = inspect.signature(trackio.init).parameters
        own = {name: value for name, value in own.items() if name in taken}  # earlier versions have fewer
        started = trackio.init(PROJECT, name, config=dict(run.settings), resume="allow", **own)
        super().__init__(started, trackio.Image, run.rows)
        self.where = f"the run {name} of trackio's project {PROJECT} (`trackio show`)"


TRACKERS: dict[str, Callable[[TrackedRun], Tracker]] = {"tensorboard": TensorBoard, "wandb": Wandb, "trackio": Trackio}
"""How each is opened, by name."""

REWRITTEN = ("tensorboard",)
"""Those that are written from the first row on each time; the others are given what they have not had."""


def check_tracker(name: str) -> None:
    """UsageError where the tracker `name` is unknown or its library is not installed."""
    choose("tracker", name, TRACKERS)
    with extra(name, f"--report_to {name}"):
        importlib.import_module(name)  # each bears the name of its library


def kind_of(record: Mapping[str, Any]) -> str:
    """The kind of a line of metrics.jsonl: "train" for training steps, else its event."""
    return str(record.get("event", "train"))


def row_of(record: Mapping[str, Any]) -> dict[str, float | str]:
    """The flat row of a line of metrics.jsonl, with all that it holds but its images."""
    rest = {name: value for name, value in record.items() if name not in ("event", "images")}
    return dict(_flat(kind_of(record).replace(" ", "_"), rest))


def _flat(name: str, value: Any) -> Iterator[tuple[str, float | str]]:
    if isinstance(value, Mapping | list):
        for key, one in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _flat(f"{name}/{key}", one)
    elif isinstance(value, bool | int | float | str):
        yield name, value


def _plain(value: Any) -> float | str | bool:
    return value if isinstance(value, bool | int | float | str) else str(value)
