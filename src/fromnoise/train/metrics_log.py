"""The lines of metrics.jsonl: mean losses of a few steps, mean losses of whole epochs, and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

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
        self._epoch: list[float] = []

    def take_step(self, step: TrainStep) -> None:
        """Write the losses that `step` has read."""
        self.learning_rate, self.images_per_second = step.learning_rate, step.images_per_second
        self.take_losses(step.read)

    def take_losses(self, losses: tuple[StepLoss, ...]) -> None:
        """Write `log_every` losses a line, and the mean of every epoch that they end."""
        lines: Lines = []
        for entry in losses:
            self._unlogged.append(entry)
            self._epoch.append(entry.loss)
            ends_epoch = entry.step % self.trainer.batches.steps_per_epoch == 0
            if len(self._unlogged) >= self.trainer.options.log_every or ends_epoch or self.trainer.done:
                lines.append(self._line())
            if ends_epoch:
                lines += self._epoch_line(entry)
        if lines:
            self.append(lines)

    def flush(self) -> None:
        """Write the losses that do not fill a line yet."""
        if self._unlogged:
            self.append([self._line()])

    def note(self, events: Lines) -> None:
        """Write events, with the training time so far."""
        if events:
            self.append([{**event, "seconds": round(self.seconds(), 2)} for event in events])

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
        }

    def _epoch_line(self, entry: StepLoss) -> Lines:
        """The mean of an epoch's step losses, unless part of it was before a resume."""
        steps_per_epoch, losses = self.trainer.batches.steps_per_epoch, self._epoch
        self._epoch = []
        if len(losses) != steps_per_epoch:
            return []
        epoch = entry.step // steps_per_epoch
        return [{"event": "epoch", "epoch": epoch, "images": entry.images, "loss": float(np.mean(losses))}]
