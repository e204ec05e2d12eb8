"""The lines of metrics.jsonl: mean losses of a few steps, mean losses of whole epochs, and events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fromnoise.common.errors import WriteError
from fromnoise.common.progress import report_progress
from fromnoise.train.ahead import Ahead
from fromnoise.train.losses import StepLoss
from fromnoise.train.trainer import Trainer, TrainStep

Lines = list[dict[str, Any]]


class MetricsLog:
    """Turns losses and events into lines.

    Arguments:
        append: writes lines to metrics.jsonl.
        seconds: the training time so far.
    """

    def __init__(self, trainer: Trainer, append: Callable[[Lines], None], seconds: Callable[[], float]) -> None:
        self.trainer, self.append, self.seconds = trainer, append, seconds
        self.learning_rate = self.images_per_second = 0.0
        self._unlogged: list[StepLoss] = []
        self._epoch = (0, 0.0)  # steps of the present epoch, and the sum of their losses
        self._waiting: Lines = []  # lines that could not be written yet
        self._share: float | None = None

    def take_step(self, step: TrainStep) -> None:
        """Write the losses that `step` has read."""
        self.learning_rate, self.images_per_second = step.learning_rate, step.images_per_second
        self.take_losses(step.read)

    def take_losses(self, losses: tuple[StepLoss, ...]) -> None:
        """Write `log_every` losses a line, and the mean of every epoch that they end."""
        lines: Lines = []
        self._share = None
        for entry in losses:
            self._unlogged.append(entry)
            self._epoch = (self._epoch[0] + 1, self._epoch[1] + entry.loss)
            last = self.trainer.done and entry is losses[-1]
            ends_epoch = entry.step % self.trainer.batches.steps_per_epoch == 0
            if len(self._unlogged) >= self.trainer.options.log_every or ends_epoch or last:
                lines.append(self._line())
            if ends_epoch:
                lines += self._epoch_line(entry)
        self._write(lines)

    def flush(self) -> None:
        """Write the losses that do not fill a line yet, and what could not be written before."""
        self._write([self._line()] if self._unlogged else [])

    def state(self) -> dict[str, Any]:
        """What the next lines will be made of besides the next steps: kept in a checkpoint, as plain JSON."""
        losses = [[entry.step, entry.images, repr(entry.loss)] for entry in self._unlogged]
        return {"losses": losses, "epoch": [self._epoch[0], repr(self._epoch[1])], "waiting": self._waiting}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state`, so that the lines are those of a training that was not interrupted."""
        try:
            losses = [StepLoss(int(step), int(images), float(loss)) for step, images, loss in state["losses"]]
            epoch = (int(state["epoch"][0]), float(state["epoch"][1]))
            waiting = [line for line in state["waiting"] if isinstance(line, dict)]
            self._unlogged, self._epoch, self._waiting = losses, epoch, waiting
        except (KeyError, TypeError, ValueError, IndexError):  # of a run from before it was kept
            return

    def note(self, events: Lines) -> None:
        """Write events, with the training time so far."""
        self._write([{**event, "seconds": round(self.seconds(), 2)} for event in events])

    def _write(self, lines: Lines) -> None:
        """Append `lines`; where that fails they wait, since a log is no reason to lose a training."""
        failed_before = bool(self._waiting)
        self._waiting = [*self._waiting, *lines]
        if not self._waiting:
            return
        try:
            self.append(self._waiting)
            self._waiting = []
        except WriteError as error:
            if not failed_before:
                report_progress(f"{error}; training goes on, and these lines are written when that is possible")

    def _line(self) -> dict[str, Any]:
        last, losses = self._unlogged[-1], [entry.loss for entry in self._unlogged]
        self._unlogged = []
        return {
            "step": last.step,
            "images": last.images,
            "loss": float(np.mean(losses)),
            "learning_rate": self.learning_rate,
            "images_per_second": round(self.images_per_second, 1),
            "seconds": round(self.seconds(), 2),
        } | self._data_wait()

    def _data_wait(self) -> dict[str, float]:
        """The share of the time that the training waited for batches, one for all lines that are written at once."""
        if not isinstance(self.trainer.batches, Ahead):
            return {}
        if self._share is None:
            self._share = round(self.trainer.batches.take_share(), 4)
        return {"data_wait": self._share}

    def _epoch_line(self, entry: StepLoss) -> Lines:
        """The mean of an epoch's step losses, unless part of it was lost by a resume."""
        steps_per_epoch, (steps, total) = self.trainer.batches.steps_per_epoch, self._epoch
        self._epoch = (0, 0.0)
        if steps != steps_per_epoch:
            return []
        epoch = entry.step // steps_per_epoch
        return [{"event": "epoch", "epoch": epoch, "images": entry.images, "loss": total / steps}]
