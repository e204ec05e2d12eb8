"""The lines of metrics.jsonl: means of steps, means of whole epochs, events."""

import json
from dataclasses import replace

import pytest

from fromnoise.common.errors import WriteError
from fromnoise.train.losses import StepLoss
from fromnoise.train.metrics_log import MetricsLog
from fromnoise.train.trainer import TrainStep

STEP = TrainStep(0, 0, 80, 0.25, 123.45, ())


def losses(*steps):
    return tuple(StepLoss(step, 8 * step, float(step)) for step in steps)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def log(make_trainer, lines):
    """A log that writes three losses a line; an epoch has five steps."""
    return MetricsLog(make_trainer(total=400, log_every=3), lines.extend, lambda: 1.2345)


def test_a_line_is_the_mean_of_its_steps(log, lines):
    log.take_step(replace(STEP, read=losses(1, 2)))
    assert lines == []
    log.take_step(replace(STEP, read=losses(3, 4)))
    line = {"step": 3, "images": 24, "loss": 2.0, "learning_rate": 0.25, "images_per_second": 123.5, "seconds": 1.23}
    assert lines == [{**line, "images_per_second": round(123.45, 1)}]
    log.flush()
    assert [(line["step"], line["loss"]) for line in lines] == [(3, 2.0), (4, 4.0)]
    log.flush()
    assert len(lines) == 2


def test_the_end_of_an_epoch_ends_a_line_and_has_its_mean(log, lines):
    log.take_step(replace(STEP, read=losses(1, 2, 3, 4, 5, 6)))
    assert [line["loss"] for line in lines] == [2.0, 4.5, 3.0]
    assert lines[-1] == {"event": "epoch", "epoch": 1, "images": 40, "loss": 3.0}


def test_part_of_an_epoch_after_a_resume_has_no_mean(log, lines):
    log.take_losses(losses(3, 4, 5))
    assert [line.get("event") for line in lines] == [None]
    log.take_losses(losses(6, 7, 8, 9, 10))
    assert lines[-1]["event"] == "epoch" and lines[-1]["epoch"] == 2


def test_the_last_losses_are_written_when_training_is_done(log, lines):
    log.trainer.images = 400
    log.take_losses(losses(49))
    assert [line["step"] for line in lines] == [49]


def test_events_carry_the_training_time(log, lines):
    log.note([])
    log.note([{"event": "validation", "loss": 1.0}])
    assert lines == [{"event": "validation", "loss": 1.0, "seconds": 1.23}]


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_resumed_log_writes_the_lines_of_an_uninterrupted_one(make_trainer, stop):
    def log(lines):
        return MetricsLog(make_trainer(total=400, log_every=3), lines.extend, lambda: 1.0)

    whole, parts, odd = [], [], losses(*range(1, 13))
    log(whole).take_losses(odd)
    first = log(parts)
    first.take_losses(odd[:stop])
    second = log(parts)
    second.restore(json.loads(json.dumps(first.state())))
    second.take_losses(odd[stop:])
    assert parts == whole and whole


@pytest.mark.parametrize(
    "state", [{}, {"losses": 3}, {"losses": [[1]], "epoch": [], "waiting": []}, {"losses": [["x"] * 3]}]
)
def test_a_state_that_is_none_is_ignored(log, lines, state):
    log.restore(state)
    log.take_losses(losses(1, 2, 3))
    assert [line["loss"] for line in lines] == [2.0]


def test_lines_that_cannot_be_written_wait(make_trainer, lines, capsys):
    full = [True]

    def append(new):
        if full[0]:
            raise WriteError("the disk is full")
        lines.extend(new)

    log = MetricsLog(make_trainer(total=400, log_every=1), append, lambda: 1.0)
    log.take_losses(losses(1, 2))
    log.take_losses(losses(3))
    assert lines == [] and capsys.readouterr().err.count("full") == 1
    second = MetricsLog(make_trainer(total=400, log_every=1), append, lambda: 1.0)
    second.restore(json.loads(json.dumps(log.state())))
    full[0] = False
    second.take_losses(losses(4))
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and second.state()["waiting"] == []
