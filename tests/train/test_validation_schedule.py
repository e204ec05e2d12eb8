"""When the weights are scored: evenly over the planned images, every so many images, and as a budget allows."""

import re
from dataclasses import replace

import pytest

from fromnoise.train.best_checkpoint import Score
from fromnoise.train.budget import Budget
from fromnoise.train.trainer import TrainStep
from fromnoise.train.validation import ValidationLosses
from fromnoise.train.validation_schedule import EvaluationSchedule, ValidationSchedule


class FakeValidator:
    """Losses that fall by one with each measurement."""

    number = 10

    def __init__(self):
        self.denoisers = []

    def __call__(self, denoiser):
        self.denoisers.append(denoiser)
        return ValidationLosses(9.0 - len(self.denoisers), 1.0, (0.5,), (2.0,))


class FakeEvaluator:
    count, best_by = 1000, "kid"

    def __init__(self, seconds=2.0):
        self.seconds, self.nets = seconds, []

    def estimate_seconds(self, net):
        return self.seconds

    def evaluate(self, net):
        self.nets.append(net)
        return {"frechet_distance": 3.0, "kid": 0.5}


def measured_at(trainer, schedule):
    """Images seen at each step after which the schedule is due."""
    return [step.images for step in trainer.steps() if schedule.due(step)]


@pytest.mark.parametrize(("number", "expected"), [(0, []), (1, [80]), (3, [40, 80, 120]), (8, None)])
def test_validations_are_even_and_the_last_is_left_to_the_end(make_trainer, number, expected):
    trainer = make_trainer(total=160, validations=number)
    found = measured_at(trainer, ValidationSchedule(trainer, FakeValidator()))
    assert found == expected if expected is not None else len(found) == 8 and max(found) < 160


def test_a_resumed_schedule_continues_where_it_was(make_trainer):
    trainer = make_trainer(total=160, validations=3)
    trainer.step, trainer.images = 11, 88
    assert measured_at(trainer, ValidationSchedule(trainer, FakeValidator())) == [120]


def test_a_validation_is_an_event_and_a_score_of_the_averaged_weights(make_trainer):
    trainer, validator = make_trainer(), FakeValidator()
    schedule = ValidationSchedule(trainer, validator)
    trainer.images = 40
    losses = {"loss": 8.0, "train_loss": 1.0, "t": (0.5,), "by_noise": (2.0,)}
    assert schedule.measure() == [{"event": "validation", "images": 40, **losses}]
    assert schedule.latest == Score(40, "validation loss", 8.0)
    assert validator.denoisers[0].net is trainer.averages.ema.net
    assert schedule.measure() == [] and len(validator.denoisers) == 1, "the same weights are not measured twice"
    trainer.images = 48
    assert schedule.measure() and schedule.latest.value == 7.0


def test_a_budget_gets_as_many_validations_as_it_affords(make_trainer):
    trainer = make_trainer(total=None, validations=8, budget=Budget(0.0, 100.0, now=lambda: 50.0))
    schedule = ValidationSchedule(trainer, FakeValidator())
    assert (trainer.budget.validation_images, trainer.budget.validations) == (20, 8)
    assert schedule.due_at_checkpoint(1000.0) and not schedule.due_at_checkpoint(0.5)
    step = TrainStep(1, 8, 160, 0.1, 6.0, (), 50.0)  # 6 images a second afford four measurements, the end included
    due = [images for images in range(8, 160, 8) if schedule.due(replace(step, images=images))]
    assert due == [40, 80, 120]


def test_no_validation_begins_that_would_not_end_in_time(make_trainer):
    now = [0.0]
    trainer = make_trainer(total=None, validations=8, budget=Budget(0.0, 100.0, now=lambda: now[0]))
    schedule = ValidationSchedule(trainer, FakeValidator())
    schedule._seconds = 10.0
    step = TrainStep(1, 80, 160, 0.1, 1e4, (), 50.0)
    now[0] = 71.0
    assert not schedule.due(step)
    now[0] = 69.0
    assert schedule.due(step)


def test_evaluations_come_every_so_many_images_and_at_the_end(make_trainer, capsys):
    trainer, evaluator = make_trainer(total=80), FakeEvaluator()
    schedule, events = EvaluationSchedule(trainer, evaluator, every=32), []
    assert {"32", "1,000", "2", "6"} <= set(re.findall(r"[\d,]*\d", capsys.readouterr().err)), "2 s each, 6 s in all"
    for _ in trainer.steps():
        if schedule.due():
            events += schedule.evaluate()
    assert [event["images"] for event in events] == [32, 64, 80]
    assert events[0] == {"event": "evaluation", "images": 32, "count": 1000, "frechet_distance": 3.0, "kid": 0.5}
    assert schedule.latest == Score(80, "kid", 0.5) and evaluator.nets[0] is trainer.averages.ema.net


def test_evaluations_are_planned_into_a_budget_and_left_out_at_its_end(make_trainer):
    now = [0.0]
    trainer = make_trainer(total=None, budget=Budget(0.0, 100.0, now=lambda: now[0]))
    schedule = EvaluationSchedule(trainer, FakeEvaluator(seconds=8.0), every=32)
    assert trainer.budget.evaluation_seconds == 0.25
    trainer.images = 32
    assert schedule.due()
    now[0] = 89.0
    assert not schedule.due(), "12 seconds are needed, 11 are left"
