"""Losses wait on the device, are read in order, and end training when they stay infinite or NaN."""

import math

import pytest
import torch

from fromnoise.common.errors import DivergedError
from fromnoise.train.losses import MAX_SKIPPED_IN_A_ROW, LossReader, StepLoss


def add(reader, *values, start=1):
    for step, value in enumerate(values, start=start):
        reader.add(step, 8 * step, torch.tensor([value - 0.5, value + 0.5]))


def test_losses_are_means_of_their_batch_in_order():
    reader = LossReader()
    assert reader.read() == ()
    add(reader, 1.0, 3.0)
    assert reader.pending == 2
    assert reader.read() == (StepLoss(1, 8, 1.0), StepLoss(2, 16, 3.0))
    assert reader.pending == 0 and reader.read() == () and reader.skipped == 0


def test_skipped_steps_are_counted_over_reads():
    reader = LossReader()
    add(reader, 1.0, math.nan)
    reader.read()
    add(reader, math.inf, 2.0)
    assert [math.isfinite(entry.loss) for entry in reader.read()] == [False, True] and reader.skipped == 2


def test_too_many_in_a_row_are_a_divergence_and_a_finite_one_between_is_not():
    reader = LossReader()
    add(reader, *[math.nan] * (MAX_SKIPPED_IN_A_ROW - 1), 1.0, *[math.nan] * (MAX_SKIPPED_IN_A_ROW - 1))
    reader.read()
    add(reader, math.nan, start=77)
    with pytest.raises(DivergedError, match=rf"\b{MAX_SKIPPED_IN_A_ROW} steps.*step 77") as caught:
        reader.read()
    assert caught.value.exit_code == 5 and reader.skipped == 2 * MAX_SKIPPED_IN_A_ROW - 1
    assert "--learning_rate" in str(caught.value) and "delete" not in str(caught.value)
