"""When the weights are scored while training: validation losses, and evaluations of samples.

A score is an event for metrics.jsonl, and decides which checkpoint is the best. Scoring draws from none of the
training's random streams, so a run trains the same with and without it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Protocol

from torch import nn

from fromnoise.common.durations import format_duration
from fromnoise.common.progress import report_progress
from fromnoise.train.best_checkpoint import VALIDATION_LOSS, Score
from fromnoise.train.trainer import Trainer, TrainStep
from fromnoise.train.validation import Validator

Event = dict[str, Any]


class ValidationSchedule:
    """Measures the validation loss evenly over the planned images, and at checkpoints.

    A time budget that is too short for as many measurements as `train.validations` gets fewer, or none.

    Attributes:
        latest: the last score, None before the first; of the averaged weights, where there are some.
    """

    def __init__(self, trainer: Trainer, validator: Validator) -> None:
        self.trainer, self.validator = trainer, validator
        self.latest: Score | None = None
        self._images_before = trainer.images
        self._seconds = 0.0  # of the last measurement
        self._planned: int | None = None  # measurements before the end
        self._made = 0
        if trainer.budget:
            trainer.budget.validation_images = 2 * validator.number
            trainer.budget.validations = trainer.options.validations

    def due(self, step: TrainStep) -> bool:
        """Whether the next of the evenly spread measurements is to be made after `step`."""
        if not step.total or not step.images_per_second or self.trainer.done:  # a GPU's first steps have no speed
            return False
        if self._planned is None:
            self._planned = self._affordable(step.images_per_second)
            self._made = int(self._images_before / step.total * (self._planned + 1))
        due = int(step.images / step.total * (self._planned + 1))  # the last one is that of the last checkpoint
        budget = self.trainer.budget
        if due <= self._made or (budget and budget.remaining() < 3 * self._seconds):
            return False
        self._made = due
        return True

    def _affordable(self, per_second: float) -> int:
        """How many before the end; fewer than wanted in a short time budget."""
        wanted, budget = self.trainer.options.validations, self.trainer.budget
        return wanted if budget is None else max(0, budget.affordable_validations(per_second) - 1)

    def due_at_checkpoint(self, per_second: float) -> bool:
        """Whether to measure with a checkpoint: always, unless a time budget is too short for a single measurement."""
        budget = self.trainer.budget
        return budget is None or budget.affordable_validations(per_second) > 0

    def measure(self) -> list[Event]:
        """The validation loss with the present weights; no event where these have been measured already."""
        images = self.trainer.images
        if self.latest and self.latest.images == images:
            return []
        began = time.monotonic()
        losses = self.validator(self.trainer.denoiser.with_net(self.trainer.best_net))
        self._seconds = time.monotonic() - began
        self.latest = Score(images, VALIDATION_LOSS, losses.loss)
        return [{"event": "validation", "images": images, **asdict(losses)}]


class Evaluator(Protocol):
    """Measures samples made with the present weights; handed in by a layer that can sample and measure."""

    @property
    def count(self) -> int:
        """Samples in an evaluation."""

    @property
    def best_by(self) -> str:
        """The measure by which the best checkpoint is chosen; lower is better."""

    def estimate_seconds(self, net: nn.Module) -> float:
        """About how long one evaluation takes."""

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Measures by name, as plain JSON."""


class EvaluationSchedule:
    """Evaluates samples each time another `every` images were seen (`train.evaluate_every`), and at the end.

    Attributes:
        latest: the last score, None before the first.
        seconds: the time of one evaluation, estimated at first.
    """

    def __init__(self, trainer: Trainer, evaluator: Evaluator, every: int) -> None:
        self.trainer, self.evaluator, self.every = trainer, evaluator, every
        self.latest: Score | None = None
        self._done = trainer.images // every
        self.seconds = evaluator.estimate_seconds(trainer.best_net)
        text = f"evaluating {evaluator.count:,} samples every {every:,} images, about {format_duration(self.seconds)}"
        if trainer.total:
            times = -(-(trainer.total - trainer.images) // every)
            text += f" each, {format_duration(self.seconds * times)} in all"
        report_progress(text)
        self._plan()

    def _plan(self) -> None:
        """Let a time budget know what evaluations cost."""
        if self.trainer.budget:
            self.trainer.budget.evaluation_seconds = self.seconds / self.every

    def due(self) -> bool:
        """Whether to evaluate now: at its time and at the end, unless a time budget has no room for it."""
        budget = self.trainer.budget
        if budget and budget.remaining() < 1.5 * self.seconds:
            return False
        return self.trainer.done or self.trainer.images // self.every > self._done

    def evaluate(self) -> list[Event]:
        """Evaluate samples of the present weights."""
        began, images = time.monotonic(), self.trainer.images
        self._done = images // self.every
        measures = self.evaluator.evaluate(self.trainer.best_net)
        self.seconds = time.monotonic() - began
        self._plan()
        self.latest = Score(images, self.evaluator.best_by, measures[self.evaluator.best_by])
        return [{"event": "evaluation", "images": images, "count": self.evaluator.count, **measures}]
