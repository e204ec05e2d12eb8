"""Quick evaluations while training (`--evaluate_every`): a thousand samples, their Frechet distance and KID."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fromnoise.common.durations import format_duration
from fromnoise.evaluation.evaluate import drawn, referred, say
from fromnoise.evaluation.measure import Pictures
from fromnoise.evaluation.scores import Reference, quick
from fromnoise.train.checkpoint import Score
from fromnoise.train.trainer import Trainer

if TYPE_CHECKING:
    from fromnoise.run import Run

NUM = 1000
_TRIED = 32  # samples whose time tells that of all
_MEASURING = 2.0  # seconds, about, that features and distances take


class QuickEvaluations:
    """Measures the weights each time another `every` images were seen. seconds: what one costs, estimated at first."""

    def __init__(self, run: Run, trainer: Trainer, every: int) -> None:
        self.run, self.trainer, self.every = run, trainer, every
        self.reference: Reference = referred(run.data, "auto")
        self._done = trainer.images // every
        self.seconds = self._estimated()
        say(
            f"every {every:,} images {NUM:,} samples are measured, about {format_duration(self.seconds)} each time"
            + (f": {format_duration(self.seconds * self._times())} in all" if trainer.total else "")
        )
        if trainer.budget:
            trainer.budget.evaluating = self.seconds / every

    def due(self) -> bool:
        """Whether the next is to be made now: at its time and at the end, unless a time budget has no room for it."""
        budget = self.trainer.budget
        if budget and budget.left() < 1.5 * self.seconds:
            return False
        return self.trainer.done or self.trainer.images // self.every > self._done

    def make(self) -> tuple[dict[str, Any], Score]:
        """(the event for metrics.jsonl, the score that checkpoints are compared by)."""
        began, images = time.time(), self.trainer.images
        self._done = images // self.every
        made = self._samples(NUM)
        found = quick(made.images, made.labels, self.reference)
        self.seconds = time.time() - began
        return {"event": "evaluation", "images": images, "count": NUM, **asdict(found)}, Score(images, "kid", found.kid)

    def _samples(self, number: int) -> Pictures:
        net = self.trainer.best_net
        # The checkpoint that autoguidance pushes away from need not exist yet.
        options = replace(self.run.settings.sample, autoguidance_scale=1.0, guide_checkpoint=None)
        training = net.training
        net.eval()
        made = drawn(self.run, self.run.denoiser_with(net), number, options)
        net.train(training)
        return made

    def _estimated(self) -> float:
        began = time.time()
        self._samples(_TRIED)
        return (time.time() - began) * NUM / _TRIED + _MEASURING

    def _times(self) -> int:
        return -(-((self.trainer.total or 0) - self.trainer.images) // self.every)


def quick_evaluations(run: Run, trainer: Trainer) -> QuickEvaluations | None:
    """What evaluates samples while `run` trains; None where that is not asked for."""
    every = run.settings.train.evaluate_every
    return QuickEvaluations(run, trainer, every) if every else None
