"""Scores of the weights as they are, while training: what metrics.jsonl hears, and what the best checkpoint is by."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import DataError
from fromnoise.evaluation.periodic import quick_evaluations
from fromnoise.train.checkpoint import Score
from fromnoise.train.trainer import Trainer, TrainStep
from fromnoise.train.validation import HeldOutLoss

if TYPE_CHECKING:
    from fromnoise.run import Run


class Scores:
    """When the weights are scored, and the last score. Scoring draws from no generator of the training's.

    latest: the score that checkpoints are compared by; None before the first. It is of the averaged weights, where
    there are some.
    """

    def __init__(self, run: Run, trainer: Trainer) -> None:
        self.run, self.trainer = run, trainer
        self.latest: Score | None = None
        self._held_out = None if trainer.done else _held_out_loss(run, trainer)
        self._seen_before = trainer.images
        self._seconds = 0.0
        self._times: int | None = None
        self._made = 0
        self._scored_at: int | None = None
        self.evaluations = None if trainer.done else quick_evaluations(run, trainer)
        if trainer.budget and self._held_out:
            trainer.budget.scored = 2 * self._held_out.number
            trainer.budget.scorings = run.settings.train.validations

    def due(self, step: TrainStep) -> bool:
        """Whether the next of the scores that are spread evenly over the planned images is to be made now."""
        if not step.total or self.trainer.done or not self._held_out:
            return False
        if self._times is None:
            self._times = self._affordable(step.images_per_second)
            self._made = int(self._seen_before / step.total * (self._times + 1))
        due = int(step.images / step.total * (self._times + 1))  # the last is that of the last checkpoint
        budget = self.trainer.budget
        if due <= self._made or (budget and budget.left() < 3 * self._seconds):
            return False
        self._made = due
        return True

    def _affordable(self, per_second: float) -> int:
        """How often on the way; fewer than asked where a time budget would be spent on it, none where it is short."""
        asked, budget = self.run.settings.train.validations, self.trainer.budget
        return asked if budget is None else max(0, budget.scorings_afforded(per_second) - 1)

    def at_a_checkpoint(self, per_second: float) -> list[dict[str, Any]]:
        """Events for a checkpoint that was just written, unless a time budget is too short for even one score."""
        budget, events = self.trainer.budget, []
        if not budget or budget.scorings_afforded(per_second):
            events = self.make()
        if self.evaluations and self.evaluations.due():
            event, self.latest = self.evaluations.make()
            events.append(event)
        return events

    def make(self) -> list[dict[str, Any]]:
        """The loss on held-out images with the weights as they are: an event, none where these were scored already.

        It is what the best checkpoint is by, unless samples are evaluated.
        """
        images = self.trainer.images
        if not self._held_out or self._scored_at == images:
            return []
        began = time.time()
        found = self._held_out(self.run.denoiser_with(self.trainer.best_net))
        self._seconds, self._scored_at = time.time() - began, images
        if not self.evaluations:
            self.latest = Score(images, "held-out loss", found.loss)
        return [{"event": "heldout", "images": images, **asdict(found)}]


def _held_out_loss(run: Run, trainer: Trainer) -> HeldOutLoss | None:
    """What measures the loss on held-out images; None where that is not wanted or there are none."""
    if not run.settings.train.validations:
        return None
    try:
        held_out = run.held_out
    except DataError as error:
        print(f"the loss on held-out images is not measured: {error}", file=sys.stderr, flush=True)
        return None
    if held_out is None:
        return None
    return HeldOutLoss(trainer.objective, trainer.denoiser.process, held_out, run.data, run.settings.train.seed)
