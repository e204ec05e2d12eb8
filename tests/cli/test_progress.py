"""What training prints of its speed and the time left."""

import io
import math
import sys
from types import SimpleNamespace

import pytest

from fromnoise.cli.progress import STEPS_BEFORE_PACE, TrainProgress
from fromnoise.train.losses import StepLoss
from fromnoise.train.trainer import TrainStep


@pytest.mark.parametrize(("total", "printed"), [(1000, 1), (300, 0)])
def test_a_last_step_beyond_the_plan_leaves_no_negative_number_of_images(total, printed, capsys):
    settings = SimpleNamespace(train=SimpleNamespace(train_batch_size=32))
    progress = TrainProgress(SimpleNamespace(settings=settings, device="cpu"))
    for i in range(1, STEPS_BEFORE_PACE + 1):
        progress.update(TrainStep(i, 320 if i == STEPS_BEFORE_PACE else 32 * i, total, 1e-3, 100.0, ()))
    out = capsys.readouterr().out
    assert out.count("pace: ") == printed
    assert "-20" not in out


def test_a_loss_that_is_not_finite_is_left_out_of_the_one_that_is_shown():
    progress = TrainProgress(SimpleNamespace(device="cpu"))
    for number, loss in enumerate([math.nan, 2.0, math.inf, math.nan, 2.0], start=1):
        step = TrainStep(number, 8 * number, 80, 1e-3, 100.0, (StepLoss(number, 8 * number, loss),))
        progress.update(step)
        assert ("loss 2.0000" in progress._words(step)) is (number > 1) and "nan" not in progress._words(step)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_printed_beside_the_bar_goes_where_standard_output_does(terminal, monkeypatch):
    class Stream(io.StringIO):
        def __init__(self, terminal):
            super().__init__()
            self.isatty = lambda: terminal

    out, err = Stream(terminal), Stream(True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with TrainProgress(SimpleNamespace(device="cpu")):
        print("starting from scratch")
    assert ("starting" in out.getvalue(), "starting" in err.getvalue()) == (not terminal, terminal)
