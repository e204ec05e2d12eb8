"""The learning rate as a function of images seen, and how many images a time budget allows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fromnoise.settings import TrainOptions


def learning_rate(options: TrainOptions, images: int, total: int | None) -> float:
    """The rate for the step that begins after `images` images, of `total` (None: not known yet, so no decay).

    Rises linearly over lr_warmup_images (at most a tenth of a known total), then stays, or falls to 0 at the
    end as a cosine or a straight line.
    """
    warmup = options.lr_warmup_images if total is None else min(options.lr_warmup_images, total / 10)
    rise = min(1.0, (images + options.train_batch_size) / warmup) if warmup else 1.0
    if total is None or options.lr_schedule == "constant":
        return options.learning_rate * rise
    done = min(1.0, max(0.0, (images - warmup) / max(1.0, total - warmup)))
    fall = 1 - done if options.lr_schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return options.learning_rate * rise * fall


AGAIN = (0.2, 0.4, 0.6, 0.8, 0.9)  # shares of a budget after which the plan is made anew
SAVING = 0.25  # seconds that are kept for writing the last checkpoint
SCORING = 0.04  # share of a budget that may go into scores of the weights
SCORED = 0.3  # what scoring an image costs, beside training on one


@dataclass
class Budget:
    """Wall time for a whole run. After a few measured seconds it says how many images fit into it, and again later.

    started: when the run's clock began (seconds since the epoch). seconds: the budget. A reserve of 3 % plus a
    second is left for previews, the last checkpoint and a machine that slows down. scorings: how often the weights are
    to be scored on the way, on `scored` images each time; once more is at the end. evaluating: seconds that go into
    evaluations of samples, for each image seen.
    """

    started: float
    seconds: float
    now: Callable[[], float] = time.time
    scorings: int = 0
    scored: int = 0
    evaluating: float = 0.0
    plans: int = 0

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.started + self.seconds - self.now()

    def spent(self, step: float = 0.0) -> bool:
        """Whether one more step of `step` seconds, and the checkpoint after it, would end beyond 102 %."""
        return self.left() + 0.02 * self.seconds < step + SAVING

    def plan_due(self, steps: int, seconds: float) -> bool:
        """Whether `images` is to be asked now: when `steps` steps in `seconds` are a fair sample of this machine,
        and anew after each of the shares AGAIN of the budget, since machines slow down and recover.
        """
        if not self.plans:
            return steps >= 5 and seconds >= min(8.0, 0.08 * self.seconds)
        return self.plans <= len(AGAIN) and self.left() < (1 - AGAIN[self.plans - 1]) * self.seconds

    def images(self, seen: int, per_second: float, batch: int) -> int:
        """How many images in all can be seen: those seen so far and what fits into the time left, in whole steps."""
        self.plans += 1
        scoring = self.scorings_afforded(per_second) * SCORED * self.scored / per_second
        scoring *= max(0.0, self.left()) / self.seconds  # the others have been
        usable = max(0.0, self.left() - 0.03 * self.seconds - 1.0 - scoring)
        return seen + max(1, int(usable / (1 / per_second + self.evaluating) / batch)) * batch

    def scorings_afforded(self, per_second: float) -> int:
        """How often the weights can be scored, the end included, at `per_second` images trained on a second."""
        if not self.scored:
            return 0
        return min(self.scorings + 1, int(SCORING * self.seconds * per_second / (SCORED * self.scored)))
