"""A training session: log, score, preview and save around the trainer's loop, and stop where that is requested.

It is below evaluation and below the run folder, so whoever starts it hands in what scores the weights, what draws
previews, and where to save.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch import nn

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import (
    DivergedError,
    FromNoiseError,
    Interrupted,
    MemoryLimitError,
    ProcessError,
    WriteError,
)
from fromnoise.common.progress import report_progress
from fromnoise.common.text import quoted
from fromnoise.common.threads import THREADS
from fromnoise.train import posthoc_ema
from fromnoise.train.bad_batch import FILE, record_bad_batch
from fromnoise.train.best_checkpoint import record_score
from fromnoise.train.checkpoint import finite, save_checkpoint
from fromnoise.train.checkpoint_files import list_checkpoints
from fromnoise.train.following import OUT_OF_TIME, saves_by_steps, wish_to_stop
from fromnoise.train.interrupts import StopRequest
from fromnoise.train.losses import StepLoss
from fromnoise.train.metrics_log import MetricsLog
from fromnoise.train.trainer import Trainer, TrainStep
from fromnoise.train.validation import Validator
from fromnoise.train.validation_schedule import EvaluationSchedule, Evaluator, ValidationSchedule
from fromnoise.train.votes import SAVE, STOP

Preview = Callable[[nn.Module, int], object]
"""Draws samples of a network after so many images, and saves them."""


class RunStore(Protocol):
    """Where a session saves: as much of a run folder as training writes."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""

    @property
    def averages(self) -> Path:
        """The folder of the snapshots for post-hoc averages."""

    def append_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Add lines to metrics.jsonl; WriteError where that cannot be."""

    def check_present(self) -> None:
        """WriteError where the folder is gone."""

    def rewind_metrics(self, images: int) -> None:
        """Drop the lines beyond `images`."""


class Session:
    """One session of a run: `trainer` at its start or at a checkpoint, trained to its end.

    Arguments:
        seconds_before: training time of earlier sessions.
        preview: None for no previews.
        validator: None for no validation losses.
        evaluator: None for no evaluations of samples.
    """

    def __init__(
        self,
        trainer: Trainer,
        store: RunStore,
        *,
        seconds_before: float = 0.0,
        preview: Preview | None = None,
        validator: Validator | None = None,
        evaluator: Evaluator | None = None,
    ) -> None:
        self.trainer, self.store, self.options = trainer, store, trainer.options
        self.seconds_before, self.preview = seconds_before, preview
        self.began = self.saved_at = time.monotonic()
        self.log = MetricsLog(trainer, store.append_metrics, self.seconds)
        self.log.restore(trainer.log_state)
        self.previews = int(trainer.images / (trainer.total or math.inf) * self.options.previews)
        self.preview_seconds = 0.0
        self.micro_batch = trainer.update.micro_batch
        self.read_at_checkpoint: tuple[StepLoss, ...] = ()
        self.bad_step = 0  # the step that bad_batch.json names
        self.validations = ValidationSchedule(trainer, validator) if validator else None
        every = self.options.evaluate_every
        self.evaluations = EvaluationSchedule(trainer, evaluator, every) if evaluator and every else None
        store.rewind_metrics(trainer.images)
        posthoc_ema.prune_after(store.averages, trainer.step)

    def seconds(self) -> float:
        """Training time so far, earlier sessions included."""
        return self.seconds_before + time.monotonic() - self.began

    def steps(self, stop: StopRequest, deadline: float | None = None) -> Iterator[TrainStep]:
        """Train to the end; yields after every step.

        Raises:
            Interrupted: a stop was requested, or `deadline` (of `time.monotonic`) has passed; all is saved.
            DivergedError: the loss is not finite any more.
            MemoryLimitError: not even one image at a time fits the memory; all is saved.
        """
        for step in self._trained():
            self.store.check_present()  # or what is written now would begin another folder
            self._log(step)
            posthoc_ema.save_if_due(self.store.averages, self.trainer)  # before a checkpoint, which needs all earlier
            code = self.trainer.votes.ask(STOP, wish_to_stop(stop, deadline))
            if code and not self.trainer.done:
                self._interrupt("--max_time reached" if code == OUT_OF_TIME else "stopped", code)
            if self.trainer.votes.ask(SAVE, self._checkpoint_due()) or saves_by_steps(self.trainer):
                self.save()
                self.trainer.votes.put(SAVE, 0)
            # A checkpoint fetches losses too, so those belong to this step.
            yield replace(step, read=step.read + self.read_at_checkpoint)
        self._finish()

    def _trained(self) -> Iterator[TrainStep]:
        """The trainer's steps; saved where no other fits the memory, and where another process failed or is gone."""
        try:
            yield from self.trainer.steps()
        except DivergedError as error:
            raise self._diverged(error) from error
        except Exception as error:
            wanted = self.trainer.group.world > 1 or isinstance(error, MemoryLimitError)
            sound = not self.trainer.update.moving and type(error) is not ProcessError
            if not (wanted and sound and self.trainer.images):
                raise
            self.save(streak=True)
            if isinstance(error, FromNoiseError):
                error.add(f"; saved after {self.trainer.images:,} images in {self.store.path}")
            raise

    def save(self, *, streak: bool = False) -> bool:
        """Write a checkpoint, its losses to metrics.jsonl before it, and its score after it: it may be the best.

        Returns whether it was written: while losses are not finite it waits, unless `streak`, for those after that.
        Raises DivergedError where weights are not finite: what is there stays.
        """
        try:
            self.read_at_checkpoint = self.trainer.read_losses()
        except DivergedError as error:
            raise self._diverged(error) from error
        self.log.take_losses(self.read_at_checkpoint)
        self._note_bad_batch()
        if self.trainer.losses.streak and not streak:
            return False
        if not finite(self.trainer):
            raise self._diverged(DivergedError(f"the weights are not finite after step {self.trainer.step}"))
        if self.trainer.done:
            self.log.flush()
        folder, keep = self.store.checkpoints, self.options.checkpoints_kept
        self.trainer.log_state = self.log.state()
        save_checkpoint(folder, self.trainer, self.seconds(), keep)
        if self.validations and self.validations.due_at_checkpoint(self.log.images_per_second):
            self.log.note(self.validations.measure())
        if self.evaluations and self.evaluations.due():
            self.log.note(self.evaluations.evaluate())
        schedule = self.evaluations or self.validations
        if schedule and schedule.latest and schedule.latest.images == self.trainer.images:
            record_score(folder, schedule.latest, keep)
        self.saved_at = time.monotonic()
        return True

    def _note_bad_batch(self) -> None:
        """Write down the first batch of a streak of losses that are not finite, once."""
        streak = self.trainer.losses.streak
        if streak and streak[0].step != self.bad_step:
            self.bad_step = streak[0].step
            try:
                record_bad_batch(self.store.path, self.trainer, streak[0])
            except WriteError as error:
                report_progress(f"the batch of the loss that is not finite is not written down: {error}")

    def _diverged(self, error: DivergedError) -> DivergedError:
        """`error` with what is left: the record of the batch, and the newest checkpoint."""
        self._note_bad_batch()
        there = list_checkpoints(self.store.checkpoints)
        left = "no checkpoint was saved yet: choose another --output_dir"
        if there:
            again = f"`fromnoise train --resume {quoted(self.store.path)} --learning_rate ...`"
            left = f"the checkpoint after {int(there[-1].name):,} images stays as it was: go on from it with {again}"
        record = f", {FILE} names the batch" if self.bad_step else ""
        return DivergedError(f"{error} ({left}{record})")

    def _log(self, step: TrainStep) -> None:
        """Write what `step` has read, and the validation loss and a preview when they are due."""
        self.read_at_checkpoint = ()
        self.log.take_step(step)
        self._note_micro_batch()
        self._note_bad_batch()
        self.log.note([{"event": "threads", "images": step.images, **one} for one in THREADS.take_changes()])
        if self.validations and self.validations.due(step):
            self.trainer.settle()
            self.log.note(self.validations.measure())
        if self._preview_due(step):
            self.trainer.settle()
            self._draw_preview()

    def _preview_due(self, step: TrainStep) -> bool:
        if not step.total or self.trainer.done:
            return False
        due = int(step.images / step.total * self.options.previews)
        hurry = self.trainer.budget and self.trainer.budget.remaining() < 3 * self.preview_seconds
        if due <= self.previews or hurry:
            return False
        self.previews = due
        return True

    def _note_micro_batch(self) -> None:
        """Write down and report that memory ran out in a step, which was then done with micro-batches."""
        micro_batch = self.trainer.update.micro_batch
        if micro_batch == self.micro_batch:
            return
        self.micro_batch = micro_batch
        self.log.note([{"event": "out of memory", "images": self.trainer.images, "micro_batch": micro_batch}])
        report_progress(
            f"memory ran out: from now on each batch of {self.options.train_batch_size} goes through the network "
            f"{micro_batch} images at a time, which is the same step up to rounding, but slower"
        )

    def _draw_preview(self) -> None:
        """Draw a preview, unless it does not fit the memory or the disk."""
        if self.preview:
            began = time.monotonic()
            try:
                self.preview(self.trainer.best_net, self.trainer.images)
            except (WriteError, MemoryLimitError) as error:
                report_progress(f"a preview is left out: {error}")
            self.preview_seconds = time.monotonic() - began

    def _checkpoint_due(self) -> bool:
        """After so much time since the last one, unless steps are counted, and where samples are to be evaluated."""
        timed = not self.options.checkpointing_steps
        if timed and time.monotonic() - self.saved_at > parse_duration(self.options.checkpoint_every):
            return True
        return self.evaluations is not None and self.evaluations.due() and not self.trainer.done

    def _interrupt(self, reason: str, exit_code: int) -> NoReturn:
        saved = self.save(streak=not list_checkpoints(self.store.checkpoints))
        state = "saved" if saved else "the last steps were not finite, so the checkpoint before them stays"
        raise Interrupted(
            f"{reason} after {self.trainer.images:,} images, {state} in {self.store.path}; to continue, run the same "
            f"command again, or `fromnoise train --resume {quoted(self.store.path)}`",
            exit_code,
        )

    def _finish(self) -> None:
        """Write the last checkpoint, unless it exists, and a preview. An exhausted budget ends the plan here."""
        trainer, cut = self.trainer, not self.trainer.done
        self.log.flush()  # also what an earlier session could not write
        if cut:
            self.log.note([{"event": "budget spent", "planned": trainer.total, "images": trainer.images}])
            trainer.total = trainer.images
        checkpoints = list_checkpoints(self.store.checkpoints)
        if cut or not checkpoints or int(checkpoints[-1].name) != trainer.images:
            self.save(streak=True)
            if self.options.previews and self._time_for_a_preview():
                self._draw_preview()

    def _time_for_a_preview(self) -> bool:
        """Whether a last preview ends within 104 % of a time budget; on a busy machine it may take seconds."""
        budget = self.trainer.budget
        left = math.inf if budget is None else budget.remaining() + 0.04 * budget.seconds
        return left > max(self.preview_seconds, 2 * self.trainer.timer.latest)
