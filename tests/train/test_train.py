"""The loop, the average, the schedule, the budget and the checkpoint, on networks of a few weights."""

import itertools
import math

import pytest
import torch
from torch import nn

from fromnoise.common.errors import CheckpointError, DivergedError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.weighting import Unit
from fromnoise.settings import TrainOptions
from fromnoise.train import checkpoint
from fromnoise.train.ema import Ema, power_for
from fromnoise.train.hardware import (
    choose_channels_last,
    choose_compile,
    choose_device,
    choose_graph,
    choose_precision,
)
from fromnoise.train.schedule import Budget, learning_rate
from fromnoise.train.trainer import MOST_BAD_STEPS, Trainer

SPEC = ImageSpec(1, 4, 4)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, code, label=None):
        return self.layer(x)


class Hidden(Tiny):
    """Has a matrix of hidden channels too."""

    def __init__(self):
        super().__init__()
        self.into, self.between, self.out = nn.Conv2d(1, 16, 1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 1, 1)

    def forward(self, x, code, label=None):
        return self.layer(x) + self.out(self.between(self.into(x)).relu())


class Fixed:
    """Batches that are a function of the step."""

    steps_per_epoch = 5

    def batch(self, step):
        g = torch.Generator().manual_seed(step)
        return torch.randint(0, 256, (8, 1, 4, 4), generator=g, dtype=torch.uint8), None

    def images_before(self, step):
        return 8 * step


def trainer(total=80, net=Tiny, **options):
    torch.manual_seed(0)
    denoiser = Denoiser(net(), Linear(), X0(), SPEC)
    options = TrainOptions(train_batch_size=8, lr_warmup_images=16, **options)
    return Trainer(denoiser, Objective(Unit(), UniformTimes()), Fixed(), options, total=total)


def test_it_trains_to_the_total_and_reports_every_step():
    t = trainer(total=400, learning_rate=0.02)
    steps = list(t.steps())
    assert t.images == 400 and t.done and len(steps) == 50
    losses = [entry.loss for step in steps for entry in step.read]
    assert [entry.step for step in steps for entry in step.read] == list(range(1, 51))
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_resumed_is_uninterrupted(tmp_path, optimizer):
    def trainer_again():
        return trainer(net=Hidden, optimizer=optimizer)

    whole = trainer_again()
    list(whole.steps())
    first = trainer_again()
    for step in first.steps():
        if step.images == 40:
            break
    saved = checkpoint.write(tmp_path, first, seconds=1.5, keep=2)
    second = trainer_again()
    assert checkpoint.restore(checkpoint.read(saved), second) == 1.5
    list(second.steps())
    for a, b in ((whole.net, second.net), (whole.ema.net, second.ema.net)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_that_is_not_finite_changes_nothing_and_many_stop_training(monkeypatch, optimizer):
    t = trainer(total=800, net=Hidden, optimizer=optimizer)
    steps = t.steps()
    next(steps)
    before = [p.clone() for p in t.net.parameters()]
    monkeypatch.setattr(SPEC.__class__, "encode", lambda self, images: images.float() * math.nan)
    next(steps)
    assert all(torch.equal(a, b) for a, b in zip(before, t.net.parameters(), strict=True))
    assert t.skipped == 1
    with pytest.raises(DivergedError, match=rf"\b{MOST_BAD_STEPS} steps"):
        list(steps)
    assert all(p.isfinite().all() for p in t.ema.net.parameters())


def test_training_averages_the_weights_of_every_step():
    t = trainer(learning_rate=0.05)
    expected = torch.zeros(())
    for step in t.steps():
        keep = (1 - 1 / step.step) ** (t.ema.gamma + 1)
        expected = keep * expected + (1 - keep) * t.net.layer.weight.detach()
    torch.testing.assert_close(t.ema.net.layer.weight, expected)
    assert not torch.allclose(t.ema.net.layer.weight, t.net.layer.weight, atol=1e-3)


def test_the_average_has_its_closed_form():
    net = nn.Linear(1, 1, bias=False)
    ema = Ema(net, 0.1)
    expected = 0.0
    for step in range(1, 60):
        with torch.no_grad():
            net.weight.fill_(float(step))
        ema.update(net, step)
        keep = (1 - 1 / step) ** (ema.gamma + 1)
        expected = keep * expected + (1 - keep) * step
    assert ema.net.weight.item() == pytest.approx(expected, rel=1e-5)
    # The published pairs of width and power: 0.05 is 16.97, 0.10 is 6.94 (Karras et al. 2024, section 3.1).
    assert power_for(0.05) == pytest.approx(16.97, abs=0.01) and power_for(0.1) == pytest.approx(6.94, abs=0.01)


def test_the_learning_rate_rises_and_falls():
    options = TrainOptions(train_batch_size=10, learning_rate=1.0, lr_warmup_images=100, lr_schedule="cosine")
    rates = [learning_rate(options, n, 1000) for n in range(0, 1001, 10)]
    assert (
        rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] == pytest.approx(0, abs=1e-9)
    )
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert learning_rate(options, 5000, None) == 1.0


def test_a_budget_plans_whole_batches_that_fit():
    now = [100.0]
    budget = Budget(started=90.0, seconds=60.0, now=lambda: now[0])
    assert not budget.plan_due(4, 10) and not budget.plan_due(20, 4.0)
    assert budget.plan_due(5, 5.0), "8 % of the budget, at least five steps"
    planned = budget.images(640, per_second=100.0, batch=64)
    assert planned % 64 == 0 and 640 < planned <= 640 + 50 * 100
    now[0] = 150.9  # 102 % is 151.2, and the checkpoint takes its quarter of a second
    assert not budget.spent() and budget.spent(step=0.1)
    now[0] = 151.0
    assert budget.spent()


def test_a_budget_is_planned_anew_when_the_machine_has_changed():
    now = [0.0]
    budget, made = Budget(started=0.0, seconds=100.0, now=lambda: now[0]), []
    for second in range(1, 96):
        now[0] = float(second)
        if budget.plan_due(10 * second, float(second)):
            made.append((second, budget.images(0, per_second=50.0 if second < 30 else 100.0, batch=1)))
    assert [second for second, _ in made] == [8, 21, 41, 61, 81, 91]
    slow, still, fast, *later = (images for _, images in made)
    assert slow == 50 * (92 - 4) and still == 50 * (79 - 4) and fast == 100 * (59 - 4)
    assert later == [100 * 35, 100 * 15, 100 * 5]


def test_checkpoints_are_whole_or_refused(tmp_path):
    t = trainer()
    for step in t.steps():
        if step.images in (16, 24, 32):
            checkpoint.write(tmp_path, t, seconds=0, keep=2)
    assert [path.name for path in checkpoint.found(tmp_path)] == ["00000024", "00000032"]
    assert {path.name for path in tmp_path.iterdir()} == {"00000024", "00000032"}
    newest = checkpoint.found(tmp_path)[-1]
    weights = newest / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=newest.name):
        checkpoint.read(newest)
    weights.unlink()
    with pytest.raises(CheckpointError, match=newest.name):
        checkpoint.read(newest)


@pytest.mark.parametrize("broken", ["net", "ema"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, broken, value):
    t = trainer()
    next(t.steps())
    net = t.net if broken == "net" else t.ema.net
    with torch.no_grad():
        net.layer.weight[0, 0, 1, 1] = value
    saved = checkpoint.write(tmp_path, t, seconds=0, keep=2)
    with pytest.raises(CheckpointError, match=r"finite.*--checkpoint.*--learning_rate") as caught:
        checkpoint.restore(checkpoint.read(saved), trainer())
    assert caught.value.exit_code == 4


def test_precision_and_device_give_their_reasons():
    assert choose_precision("cpu", "no").dtype_name == "float32"
    assert choose_precision("cpu", "bf16").autocast is torch.bfloat16
    assert "CPU" in choose_precision("cpu").reason
    assert choose_device("cpu").name == "cpu"
    with pytest.raises(UsageError, match="'gpu'"):
        choose_device("gpu")


def test_layout_graph_and_compile_give_their_reasons_and_can_be_forced():
    assert choose_channels_last("unet", "cpu").on and choose_channels_last("unet2d", "cuda").on
    slower = choose_channels_last("unet2d", "cpu")
    assert not slower.on and slower.reason
    assert choose_channels_last("unet2d", "cpu", "channels_last").on
    assert not choose_channels_last("unet", "cpu", "channels_first").on
    assert choose_graph("cuda").on and not choose_graph("cpu").on and not choose_graph("cuda", "no").on
    assert choose_graph("cuda:1", "yes").on
    with pytest.raises(UsageError, match=r"cuda_graph.*cpu"):
        choose_graph("cpu", "yes")
    assert not choose_compile("cuda").on and choose_compile("cpu", "yes").on
