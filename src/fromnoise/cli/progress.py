"""Progress for people: a live bar on a terminal, a plain line now and then everywhere else."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fromnoise.common.durations import format_duration
from fromnoise.common.memory import peak_memory

if TYPE_CHECKING:
    from fromnoise.run import Run
    from fromnoise.train.trainer import TrainStep

SECONDS_BETWEEN_LINES = 10.0
STEPS_BEFORE_PACE = 10


class TrainProgress:
    """Shows loss, images per second and the time left while a run trains. moved: whether any step was made."""

    def __init__(self, run: Run) -> None:
        self.run, self.moved, self.images = run, False, 0
        self._loss: float | None = None
        self._steps, self._paced = 0, False
        self._said_at = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> TrainProgress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
            # What is printed meanwhile goes above the bar, but to a file or a pipe where it was sent there.
            above = sys.stdout.isatty()
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=above)
            self._task = self._bar.add_task("training", total=None, words="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, step: TrainStep) -> None:
        """Take in a step."""
        self.moved, self.images = True, step.images
        self._say_pace(step)
        for entry in step.read:
            if not math.isfinite(entry.loss):  # its step was skipped and changed nothing
                continue
            self._loss = entry.loss if self._loss is None else 0.98 * self._loss + 0.02 * entry.loss
        if self._bar:
            self._bar.update(self._task, total=step.total, completed=step.images, words=self._words(step))
        elif time.monotonic() - self._said_at > SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            print(f"training: {self._words(step)}", file=sys.stderr, flush=True)

    def _say_pace(self, step: TrainStep) -> None:
        """Print speed, memory and time left once, after the first steps and when it is known how many there will be."""
        self._steps += 1
        if self._paced or self._steps < STEPS_BEFORE_PACE or not (step.images_per_second and step.total):
            return
        from fromnoise.run.preflight import pace

        self._paced, left = True, step.total - step.images
        if left <= 0:  # the last step may end beyond the plan
            return
        seconds = left / step.images_per_second if step.seconds_left is None else step.seconds_left
        batch = self.run.settings.train.train_batch_size
        print(f"pace: {pace(step.images_per_second, batch, left, seconds, peak_memory(self.run.device))}", flush=True)

    def _words(self, step: TrainStep) -> str:
        total = f" of {step.total:,}" if step.total else ""
        words = f"{step.images:,}{total} images"
        if self._loss is not None:
            words += f", loss {self._loss:.4f}"
        if step.images_per_second:
            words += f", {step.images_per_second:,.0f} images/s"
            if step.total:
                left = max(0, step.total - step.images) / step.images_per_second
                if step.seconds_left is not None:
                    left = min(left, step.seconds_left)
                words += f", {format_duration(left)} left"
        return words
