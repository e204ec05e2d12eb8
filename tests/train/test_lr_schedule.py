"""The learning rate rises over the warm-up and falls to zero at the end."""

import itertools

import pytest

from fromnoise.settings import TrainOptions
from fromnoise.train.lr_schedule import learning_rate


def rates(schedule, total=1000):
    options = TrainOptions(train_batch_size=10, learning_rate=1.0, lr_warmup_images=100, lr_schedule=schedule)
    return [learning_rate(options, n, total) for n in range(0, 1001, 10)]


def test_the_cosine_rises_and_falls():
    found = rates("cosine")
    assert found[0] == pytest.approx(0.1) and max(found) == pytest.approx(1.0)
    assert found[55] == pytest.approx(0.5), "halfway from the end of the warm-up"
    assert found[-1] == pytest.approx(0, abs=1e-9)
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


def test_the_linear_schedule_is_half_at_half_way_and_zero_at_the_end():
    options = TrainOptions(learning_rate=2.0, lr_schedule="linear", lr_warmup_images=0)
    rates = [learning_rate(options, images, 1000) for images in (0, 250, 500, 750, 1000, 1200)]
    assert rates == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])


def test_the_constant_stays_at_its_peak():
    assert rates("constant")[10:] == [1.0] * 91


def test_without_a_plan_the_rate_stays_at_its_peak():
    assert rates("cosine", total=None)[-1] == 1.0


def test_the_warm_up_is_at_most_a_tenth_of_the_plan():
    options = TrainOptions(train_batch_size=10, learning_rate=1.0, lr_warmup_images=10_000, lr_schedule="constant")
    assert learning_rate(options, 90, 1000) == pytest.approx(1.0)
    assert learning_rate(options, 90, None) == pytest.approx(0.01)
