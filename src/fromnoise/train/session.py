"""Training in a run folder: resume, log, preview and save around the trainer's loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import Interrupted
from fromnoise.data.batches import Batches
from fromnoise.figures.grid import grid, save
from fromnoise.model.build import build_objective
from fromnoise.model.legacy import preview
from fromnoise.train import checkpoint, snapshots
from fromnoise.train.interrupts import asked_to_stop
from fromnoise.train.schedule import Budget
from fromnoise.train.trainer import StepLoss, Trainer, TrainStep
from fromnoise.train.validation_schedule import Scores

if TYPE_CHECKING:
    from fromnoise.run import Run

OUT_OF_TIME = 75


def steps(run: Run, started: float | None = None, max_time: float | None = None) -> Iterator[TrainStep]:
    """Train `run` to its end, from its last checkpoint; yields after every step.

    started: when the clock of a time budget began (now if not given). max_time: seconds after which to stop
    with work left. Raises Interrupted (after saving) for that and for signals, BusyError, DivergedError.
    """
    began = time.time()
    with run.folder.locked(), asked_to_stop() as flag:
        session = _Session(run, started or began)
        trainer = session.trainer
        for step in trainer.steps():
            session.log(step)
            snapshots.keep(run.folder.averages, trainer)  # before a checkpoint, so that this one has all before it
            if flag.received and not trainer.done:
                session.save()
                raise Interrupted(_stopped(run, trainer, "stopped"), flag.exit_code)
            if max_time is not None and time.time() - began > max_time and not trainer.done:
                session.save()
                raise Interrupted(_stopped(run, trainer, "--max_time is over"), OUT_OF_TIME)
            session.save_now_and_then()
            yield session.whole(step)
        session.finish()


def _stopped(run: Run, trainer: Trainer, why: str) -> str:
    return f"{why} after {trainer.images:,} images, saved in {run.path}; run the same command again to go on"


class _Session:
    """One sitting at a run: the trainer, what it has logged, and when it last saved."""

    def __init__(self, run: Run, started: float) -> None:
        self.run, self.options = run, run.settings.train
        self.trainer, self.seconds_before = build_trainer(run, started)
        self.began = self.saved_at = time.time()
        self.unlogged: list[StepLoss] = []
        self.epoch_losses: list[float] = []
        done = self.trainer.images / (self.trainer.total or math.inf)
        self.previews = int(done * self.options.previews)
        self.preview_seconds = 0.0
        self.caught_up: tuple[StepLoss, ...] = ()
        self.scores = Scores(run, self.trainer)
        self.rate = self.speed = 0.0
        run.folder.rewind_metrics(self.trainer.images)
        snapshots.rewind(run.folder.averages, self.trainer.step)

    def seconds(self) -> float:
        """Training time so far, earlier sittings included."""
        return self.seconds_before + time.time() - self.began

    def log(self, step: TrainStep) -> None:
        """Write what was read to metrics.jsonl, and a preview when its time has come."""
        self.rate, self.speed, self.caught_up = step.learning_rate, step.images_per_second, ()
        self._take(step.read)
        if self.scores.due(step):
            self._note(self.scores.make())
        self._preview_now_and_then(step)

    def whole(self, step: TrainStep) -> TrainStep:
        """The step with the losses that a checkpoint after it has fetched."""
        return replace(step, read=step.read + self.caught_up)

    def _take(self, losses: tuple[StepLoss, ...]) -> None:
        """Write the losses to metrics.jsonl, `log_every` of them a line, and the mean of every epoch that they end."""
        lines: list[dict[str, Any]] = []
        for entry in losses:
            self.unlogged.append(entry)
            self.epoch_losses.append(entry.loss)
            ends_epoch = entry.step % self.trainer.batches.steps_per_epoch == 0
            if len(self.unlogged) >= self.options.log_every or ends_epoch or self.trainer.done:
                lines.append(self._line())
            if ends_epoch:
                lines += self._epoch_line(entry)
        if lines:
            self.run.folder.append_metrics(lines)

    def _note(self, events: list[dict[str, Any]]) -> None:
        """Write events to metrics.jsonl, with the training time so far."""
        if events:
            self.run.folder.append_metrics([{**event, "seconds": round(self.seconds(), 2)} for event in events])

    def _line(self) -> dict[str, Any]:
        last, losses = self.unlogged[-1], [entry.loss for entry in self.unlogged]
        self.unlogged = []
        return {
            "step": last.step,
            "images": last.images,
            "loss": float(np.mean(losses)),
            "learning_rate": self.rate,
            "images_per_second": round(self.speed, 1),
            "seconds": round(self.seconds(), 2),
        }

    def _epoch_line(self, entry: StepLoss) -> list[dict[str, Any]]:
        """The mean of an epoch's step losses, unless part of it was before a resume."""
        whole = len(self.epoch_losses) == self.trainer.batches.steps_per_epoch
        loss = float(np.mean(self.epoch_losses))
        self.epoch_losses = []
        epoch = entry.step // self.trainer.batches.steps_per_epoch
        return [{"event": "epoch", "epoch": epoch, "images": entry.images, "loss": loss}] if whole else []

    def _preview_now_and_then(self, step: TrainStep) -> None:
        if not step.total or not self.options.previews or self.trainer.done:
            return
        due = int(step.images / step.total * self.options.previews)
        hurry = self.trainer.budget and self.trainer.budget.left() < 3 * self.preview_seconds
        if due > self.previews and not hurry:
            self.previews = due
            self.preview()

    def preview(self) -> None:
        """A grid made with the weights as they are."""
        began = time.time()
        pictures = preview(self.run, self.trainer.best_net)
        save(grid(pictures), self.run.folder.samples / f"preview-{self.trainer.images:08d}.png")
        self.preview_seconds = time.time() - began

    def save_now_and_then(self) -> None:
        """A checkpoint when the last is older than checkpoint_every, and where samples are to be evaluated."""
        old = time.time() - self.saved_at > parse_duration(self.options.checkpoint_every)
        if old or (self.scores.evaluations and self.scores.evaluations.due() and not self.trainer.done):
            self.save()

    def save(self) -> None:
        """A checkpoint now, in metrics.jsonl all that came before it, and its score, by which it may be the best."""
        self.caught_up = self.trainer.read()
        self._take(self.caught_up)
        if self.unlogged:
            self.run.folder.append_metrics([self._line()])
        folder, keep = self.run.folder.checkpoints, self.options.checkpoints_kept
        checkpoint.write(folder, self.trainer, self.seconds(), keep)
        self._note(self.scores.at_a_checkpoint(self.speed))
        latest = self.scores.latest
        if latest and latest.images == self.trainer.images:
            checkpoint.note_score(folder, latest, keep)
        self.saved_at = time.time()

    def finish(self) -> None:
        """The last checkpoint, unless it is on disk already, then a preview. A spent budget ends the plan there."""
        trainer, cut = self.trainer, not self.trainer.done
        if cut:
            self._note([{"event": "budget spent", "planned": trainer.total, "images": trainer.images}])
            trainer.total = trainer.images
        newest = self.run.newest_checkpoint()
        if newest is None or int(newest.name) != trainer.images or cut:
            self.save()
            if self.options.previews:
                self.preview()


def build_trainer(run: Run, started: float) -> tuple[Trainer, float]:
    """(the trainer at the run's newest checkpoint or at its start, training seconds before)."""
    config, data = run.settings, run.data
    denoiser = run.new_denoiser().to(run.device)
    batches = Batches(
        data.to(run.device),
        config.train.train_batch_size,
        config.train.seed,
        random_flip=config.data.random_flip,
        device=run.device,
    )
    total, budget = _length(run, started)
    objective = build_objective(config.objective, denoiser.prediction.sigma_data)
    trainer = Trainer(denoiser, objective, batches, config.train, total=total, budget=budget)
    newest = run.newest_checkpoint()
    if newest is None:
        return trainer, 0.0
    seconds = checkpoint.restore(checkpoint.read(newest), trainer)
    if trainer.budget:
        trainer.budget.started = started - seconds
    return trainer, seconds


def _length(run: Run, started: float) -> tuple[int | None, Budget | None]:
    """How long to train: (images, None), or (None, a budget of time that still has to be measured)."""
    options = run.settings.train
    if options.budget is not None:
        return None, Budget(started, parse_duration(options.budget))
    if options.num_images is not None:
        return options.num_images, None
    return round((options.num_epochs or 1.0) * len(run.data)), None
