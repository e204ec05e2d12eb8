"""The loop: its length, its losses, its averages, and that a resumed run equals an uninterrupted one."""

import math
import time

import pytest
import torch

from fromnoise.common.errors import DivergedError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.train.budget import Budget
from fromnoise.train.checkpoint import restore_trainer, save_checkpoint
from fromnoise.train.checkpoint_files import read_checkpoint
from fromnoise.train.step_timer import StepTimer


def test_trains_to_the_total_and_reports_every_step(make_trainer):
    trainer = make_trainer(total=400, learning_rate=0.02)
    steps = list(trainer.steps())
    assert trainer.images == 400 and trainer.done and len(steps) == 50
    losses = [entry.loss for step in steps for entry in step.read]
    assert [entry.step for step in steps for entry in step.read] == list(range(1, 51))
    assert [step.images for step in steps] == list(range(8, 401, 8))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_a_gradient_that_stays_infinite_ends_the_training(make_trainer):
    trainer = make_trainer()
    before = [weight.clone() for weight in trainer.net.parameters()]
    trainer.net.layer.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(DivergedError, match="gradient"):
        list(trainer.steps())
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.net.parameters(), strict=True))


def test_a_budget_is_planned_when_steps_have_been_timed(make_trainer):
    """A GPU's first steps are not, and then there is no speed to plan by."""
    now = [0.0]
    trainer = make_trainer(total=None, budget=Budget(started=0.0, seconds=30.0, now=lambda: now[0]))
    trainer.timer = StepTimer(asynchronous=True, warmup=4)
    for step in trainer.steps():
        now[0] += 1.0
        trainer.timer._seconds_since_sync += 1.0
        assert (step.total is None) or step.step > 4
    assert trainer.done and 4 < trainer.step < 30


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_resumed_equals_uninterrupted(tmp_path, make_trainer, optimizer):
    whole, first, second = (make_trainer(hidden=True, optimizer=optimizer) for _ in range(3))
    list(whole.steps())
    for step in first.steps():
        if step.images == 40:
            break
    saved = save_checkpoint(tmp_path, first, seconds=1.5, keep=2)
    assert restore_trainer(read_checkpoint(saved), second) == 1.5
    list(second.steps())
    for a, b in ((whole.net, second.net), (whole.averages.ema.net, second.averages.ema.net)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_averages_take_in_the_weights_of_every_step(make_trainer):
    trainer = make_trainer(learning_rate=0.05)
    expected = torch.zeros(())
    for step in trainer.steps():
        keep = (1 - 1 / step.step) ** (trainer.averages.ema.gamma + 1)
        expected = keep * expected + (1 - keep) * trainer.net.layer.weight.detach()
    torch.testing.assert_close(trainer.best_net.layer.weight, expected)
    assert not torch.allclose(trainer.best_net.layer.weight, trainer.net.layer.weight, atol=1e-3)


def test_without_an_average_the_best_network_is_the_trained_one(make_trainer):
    trainer = make_trainer(use_ema=False)
    assert trainer.best_net is trainer.net


def test_losses_that_stay_nan_end_training_with_sound_averages(make_trainer, monkeypatch):
    trainer = make_trainer(total=800)
    steps = trainer.steps()
    next(steps)
    monkeypatch.setattr(ImageSpec, "encode", lambda self, images: images.float() * math.nan)
    next(steps)
    assert trainer.losses.skipped == 1
    with pytest.raises(DivergedError):
        list(steps)
    assert all(p.isfinite().all() for p in trainer.best_net.parameters())


def test_a_budget_plans_the_total_from_measured_steps(make_trainer):
    trainer = make_trainer(total=None, budget=Budget(0.0, 1000.0, now=lambda: 10.0))
    steps = trainer.steps()
    assert next(steps).total is None
    trainer.timer.record(100, 100.0)  # a fair sample of the speed
    planned = next(steps).total
    assert planned is not None and planned % 8 == 0 and trainer.budget.plans == 1


def test_an_exhausted_budget_ends_the_loop_before_the_next_step(make_trainer):
    now = [0.0]
    trainer = make_trainer(total=None, budget=Budget(0.0, 10.0, now=lambda: now[0]))
    steps = trainer.steps()
    assert next(steps).seconds_left == 10.0
    now[0] = 10.2
    assert list(steps) == [] and trainer.step == 1 and not trainer.done


def test_a_pause_within_a_step_leaves_the_rest_of_the_budget(make_trainer, monkeypatch):
    """Such as that of a laptop that slept for longer than what is left then."""
    now = [0.0]
    trainer = make_trainer(total=None, budget=Budget(0.0, 1000.0, now=lambda: now[0]))
    advance = trainer.advance

    def timed(rate):
        now[0] += 601.0 if trainer.step == 100 else 1.0
        return advance(rate)

    monkeypatch.setattr(trainer, "advance", timed)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    list(trainer.steps())
    assert trainer.done and 940 < now[0] < 1000, "the images are planned again, and the rate falls to its end"


def test_losses_read_at_a_checkpoint_are_not_timed(make_trainer):
    trainer = make_trainer(total=400)
    trainer.timer.window = 10
    steps = trainer.steps()
    assert next(steps).read == () and trainer.losses.pending == 1
    assert [entry.step for entry in trainer.read_losses()] == [1]
    read = [step.read for step in (next(steps) for _ in range(10))]
    assert read[:-1] == [()] * 9 and [entry.step for entry in read[-1]] == list(range(2, 12))
    assert trainer.timer.steps == 10
