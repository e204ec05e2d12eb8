"""A time budget: how many images fit into it at the measured speed, and when it is exhausted.

    images = seen + (remaining - reserve - validations) / (1 / speed + evaluation seconds per image)
    reserve = 0.03 remaining + 1 s

The learning rate falls over the planned images, so the plan has to come early and has to be right: a run that is cut
off before its rate has fallen loses quality, and a run that ends early wastes time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

REPLAN_AT = (0.2, 0.4, 0.6, 0.8, 0.9, 0.96)  # shares of the budget after which the images are planned again
CHECKPOINT_SECONDS = 0.25  # kept for writing the last checkpoint
VALIDATION_SHARE = 0.04  # of the budget, at most, goes into validation losses
VALIDATION_COST = 0.3  # of an image, where training on it costs 1: there is no backward pass


@dataclass
class Budget:
    """Wall time for a whole run; after a few measured seconds it plans how many images fit, and again later.

    Arguments:
        started: when the run's clock began, by `now`; a resumed run moves it back.
        seconds: the budget. 3 % of what remains of it and a second are reserved for previews, the last checkpoint and a
            machine that slows down.
        now: the clock.
        validations: how often the validation loss is wanted during training; it is measured once more at the end.
        validation_images: images in each of these measurements; 0 where there are none.
        evaluation_seconds: spent on evaluations of samples, for each image trained on.
        plans: how often the images have been planned.
        planned_at: the share of the budget that had passed at the last plan, None before the first.
        ends_at: when the images of the last plan end, by `now`, at the speed that it was made with.
    """

    started: float
    seconds: float
    now: Callable[[], float] = time.monotonic
    validations: int = 0
    validation_images: int = 0
    evaluation_seconds: float = 0.0
    plans: int = 0
    planned_at: float | None = None
    ends_at: float = 0.0

    def remaining(self) -> float:
        """Seconds until the budget ends."""
        return self.started + self.seconds - self.now()

    def exhausted(self, step_seconds: float = 0.0) -> bool:
        """Whether one more step of `step_seconds`, and the checkpoint after it, would end beyond 102 %."""
        return self.remaining() + 0.02 * self.seconds < step_seconds + CHECKPOINT_SECONDS

    def should_replan(self, steps: int, seconds: float, needed: float = math.inf) -> bool:
        """Whether `plan_images` is due.

        First when `steps` measured steps in `seconds` are a fair sample of the machine's speed: 8 % of the time that
        was left when they began. Then after each of the shares REPLAN_AT, because machines slow down and recover, and
        before it where the planned images would end earlier, in less than half of the time they were planned for.

        Arguments:
            needed: seconds that the rest of the planned images takes at the present speed.
        """
        if self.planned_at is None:
            left = seconds + self.remaining()
            return seconds >= min(8.0, 0.08 * left) and (steps >= 5 or seconds >= 0.2 * left)
        coming = min((share for share in REPLAN_AT if share > self.planned_at), default=None)
        if coming is None:
            return False
        passed = self._passed()
        early = passed + needed / self.seconds < coming and needed < (self.ends_at - self.now()) / 2
        return passed > coming or early

    def _passed(self) -> float:
        """The share of the budget that is over."""
        return 1 - self.remaining() / self.seconds

    def plan_images(self, seen: int, per_second: float, batch: int) -> int:
        """The total of images: those seen and what fits into the remaining time, in whole steps of `batch`."""
        remaining = max(0.0, self.remaining())
        reserve = 0.03 * remaining + 1.0
        if self.planned_at is None:
            reserve = min(reserve, remaining / 2)  # where loading has left only a few seconds
        self.plans, self.planned_at = self.plans + 1, self._passed()
        validating = self.affordable_validations(per_second) * VALIDATION_COST * self.validation_images / per_second
        validating *= remaining / self.seconds  # they are evenly spread, so the others are over
        usable = max(0.0, remaining - reserve - validating)
        self.ends_at = self.now() + usable
        return seen + max(1, int(usable / (1 / per_second + self.evaluation_seconds) / batch)) * batch

    def affordable_validations(self, per_second: float) -> int:
        """How often the validation loss can be measured, the end included, at `per_second` training images."""
        if not self.validation_images:
            return 0
        affordable = VALIDATION_SHARE * self.seconds * per_second / (VALIDATION_COST * self.validation_images)
        return min(self.validations + 1, int(affordable))
