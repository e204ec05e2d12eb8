"""Losses that the device has computed and Python has not read yet.

Reading a number from a GPU waits for everything queued before it. So losses stay on the device, and are fetched many
at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DivergedError

MAX_SKIPPED_IN_A_ROW = 10  # steps in a row without a finite loss, after which training stops


@dataclass(frozen=True)
class StepLoss:
    """The mean loss of one step: its number (from 1), and the images seen after it."""

    step: int
    images: int
    loss: float


class LossReader:
    """Pending losses by step.

    skipped: how many of those read so far were not finite, so that no weight moved. streak: those at the end, without
    a finite one between.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._pending: list[tuple[int, int, Tensor]] = []
        self.streak: list[StepLoss] = []

    @property
    def pending(self) -> int:
        """How many steps have not been read."""
        return len(self._pending)

    def add(self, step: int, images: int, losses: Tensor) -> None:
        """Keep the mean of a step's `losses` (B,), without waiting for the device."""
        self._pending.append((step, images, losses.mean()))

    def read(self) -> tuple[StepLoss, ...]:
        """Wait for the device and fetch what is pending; DivergedError after too many steps that were not finite."""
        if not self._pending:
            return ()
        values = torch.stack([loss for _, _, loss in self._pending]).float().tolist()
        read = tuple(StepLoss(s, n, v) for (s, n, _), v in zip(self._pending, values, strict=True))
        self._pending.clear()
        for entry in read:
            self._check(entry)
        return read

    def _check(self, entry: StepLoss) -> None:
        if math.isfinite(entry.loss):
            self.streak = []
            return
        self.skipped += 1
        self.streak.append(entry)
        if len(self.streak) >= MAX_SKIPPED_IN_A_ROW:
            raise DivergedError(
                f"loss or gradient was not finite for {MAX_SKIPPED_IN_A_ROW} steps in a row, up to step {entry.step}; "
                "lower --learning_rate or use --mixed_precision no"
            )
