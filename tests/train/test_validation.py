"""The validation loss is the training loss at fixed noise and times, and tells good weights from bad ones."""

import math

import pytest
import torch
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.diffusion.prediction import EDM, X0
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS, LogNormal, UniformTimes
from fromnoise.diffusion.vp import VP
from fromnoise.diffusion.weighting import SNR, Unit
from fromnoise.train.validation import Validator

SPEC = ImageSpec(1, 4, 4)
LABELLED = ImageSpec(1, 4, 4, ("a", "b"))


class Net(nn.Module):
    """A convolution, a bias for each class (the last: none), and dropout, which must be off."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.bias = nn.Embedding(3, 1)
        self.drop = nn.Dropout(0.5)
        self.labels = []

    def forward(self, x, code, label=None):
        self.labels.append(label)
        bias = 0 if label is None else self.bias(label)[..., None, None]
        return self.drop(self.layer(x)) + bias


def data(number, seed=0, labels=False, constant=None):
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (number, 1, 4, 4), generator=g, dtype=torch.uint8)
    if constant is not None:
        images = torch.full_like(images, constant)
    classes = torch.randint(0, 2, (number,), generator=g) if labels else None
    return ArrayData("d", "train", images, classes, LABELLED if labels else SPEC)


def denoiser(spec=SPEC, process=None, prediction=None):
    return Denoiser(Net(), process or Linear(), prediction or X0(), spec)


def test_it_is_the_plain_loss_of_each_image_at_its_draw():
    objective, train = Objective(SNR(), UniformTimes(), label_dropout=0.9), data(300, 1, labels=True)
    measure = Validator(objective, Linear(), data(200, 2, labels=True), train, seed=5)
    model = denoiser(LABELLED).eval()
    found = measure(model)
    assert measure.number == 200

    def plain(images, labels):
        losses = []
        for i in range(200):
            drawn = measure._noise(
                slice(i - i % 128, min(200, i - i % 128 + 128)), (min(128, 200 - i + i % 128), 1, 4, 4)
            )
            one = TrainingNoise(drawn.eps[i % 128, None], measure.t[i, None], torch.tensor([False]))
            x0 = LABELLED.encode(images[i, None])
            losses.append(training_loss(model, objective, x0, labels[i, None], one).per_image.item())
        return losses

    losses, train_losses = plain(measure.images, measure.labels), plain(measure.train_images, measure.train_labels)
    assert found.loss == pytest.approx(sum(losses) / 200, rel=1e-5)
    assert found.train_loss == pytest.approx(sum(train_losses) / 200, rel=1e-5)
    assert len(found.t) == len(found.by_noise) == 8
    assert found.by_noise[1] == pytest.approx(sum(losses[25:50]) / 25, rel=1e-5)
    assert found.t[1] == pytest.approx(measure.t[25:50].mean().item())
    assert sum(found.by_noise) / 8 == pytest.approx(found.loss, rel=1e-5)
    assert not any((label == LABELLED.null_label).any() for label in model.net.labels), "no label is dropped"


def test_two_calls_agree_to_the_bit_whatever_the_mode_and_leave_it():
    measure = Validator(Objective(Unit(), UniformTimes()), Linear(), data(700, 1), data(600, 2), seed=0)
    model = denoiser()
    before = torch.get_rng_state()
    model.net.train()
    first = measure(model)
    assert model.net.training
    model.net.eval()
    assert measure(model) == first and not model.net.training
    assert measure.number == 512 and torch.equal(torch.get_rng_state(), before), "the global generator is left alone"
    again = Validator(Objective(Unit(), UniformTimes()), Linear(), data(700, 1), data(600, 2), seed=0)
    assert again(model) == first
    other = Validator(Objective(Unit(), UniformTimes()), Linear(), data(700, 1), data(600, 2), seed=1)
    assert other(model) != first


def test_it_falls_as_the_network_learns_and_parts_from_the_training_loss():
    """A network that always predicts grey: right for grey validation images, wrong for black ones."""
    objective, train = Objective(Unit(), UniformTimes()), data(64, constant=128)
    same = Validator(objective, Linear(), data(64, constant=128), train, seed=0)
    other = Validator(objective, Linear(), data(64, constant=0), train, seed=0)
    model = denoiser()
    untrained = same(model)
    nn.init.zeros_(model.net.layer.weight)
    nn.init.constant_(model.net.layer.bias, SPEC.encode(train.images)[0, 0, 0, 0].item())
    assert same(model).loss < 1e-6 < untrained.loss
    assert other(model).loss == pytest.approx((128 / 127.5) ** 2, rel=1e-5) and other(model).train_loss < 1e-6


@pytest.mark.parametrize("name", sorted(TIME_DISTRIBUTIONS))
def test_its_times_are_quantiles_of_the_objectives_distribution(name):
    process = VP() if name == "discrete" else Linear()
    measure = Validator(Objective(Unit(), TIME_DISTRIBUTIONS[name]), process, data(512, 1), data(512, 2), seed=0)
    drawn = TIME_DISTRIBUTIONS[name].sample(100_000, process, torch.Generator().manual_seed(9)).double()
    assert (measure.t.diff() >= 0).all() and measure.t.min() > process.t_min - 1e-12
    shares = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    gap = (measure.t.quantile(shares) - drawn.quantile(shares)).abs().max() / process.t_max
    assert gap < 0.01


def test_any_process_gives_finite_numbers():
    objective = Objective(Unit(), LogNormal())
    measure = Validator(objective, VE(), data(40, 1), data(40, 2), seed=0)
    found = measure(denoiser(process=VE(), prediction=EDM()))
    assert all(math.isfinite(v) for v in (found.loss, found.train_loss, *found.by_noise, *found.t))


def test_three_images_have_three_bins():
    measure = Validator(Objective(Unit(), UniformTimes()), Linear(), data(3, 1), data(90, 2), seed=0)
    found = measure(denoiser())
    assert measure.number == 3 == len(found.t) == len(found.by_noise)


def test_where_one_side_has_no_labels_both_are_evaluated_unconditionally():
    measure = Validator(Objective(Unit(), UniformTimes()), Linear(), data(30, 1), data(90, 2, labels=True), seed=0)
    model = denoiser(LABELLED)
    measure(model)
    assert model.net.labels == [None, None]
