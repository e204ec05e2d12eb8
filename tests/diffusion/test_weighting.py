"""Weightings against their published formulas, at numbers worked out by hand."""

import math

import pytest
import torch

from fromnoise.diffusion.prediction import X0, Velocity
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.vp import VP, VPContinuous, VPCosine
from fromnoise.diffusion.weighting import (
    SNR,
    WEIGHTINGS,
    ClampedVelocity,
    EDMWeighting,
    MinSNR,
    Sigmoid,
    TruncatedSNR,
    Unit,
    output_weight,
)

PUBLISHED = [
    (Unit(), [1.0, 1.0, 1.0]),
    (SNR(), [0.1, 1.0, 9.0]),
    (TruncatedSNR(), [1.0, 1.0, 9.0]),
    (MinSNR(), [0.1, 1.0, 5.0]),
    (MinSNR(gamma=0.5), [0.1, 0.5, 0.5]),
    (EDMWeighting(0.5), [4.1, 5.0, 13.0]),
    (Sigmoid(bias=0.0), [1 / 11, 0.5, 0.9]),
    (ClampedVelocity(), [(1 + math.sqrt(0.1)) ** 2, 4.0, 16.0]),
    (ClampedVelocity(floor=0.5), [(1 + math.sqrt(0.1)) ** 2, 4.0, 4.0]),
]


@pytest.mark.parametrize("weighting, expected", PUBLISHED, ids=repr)
def test_weights_are_the_published_ones(weighting, expected):
    snr = torch.tensor([0.1, 1.0, 9.0], dtype=torch.float64)
    torch.testing.assert_close(weighting(snr), torch.tensor(expected, dtype=torch.float64))


def test_every_weighting_stands_in_the_table():
    assert {type(weighting) for weighting, _ in PUBLISHED} == {type(weighting) for weighting in WEIGHTINGS.values()}


def test_clamped_velocity_is_the_velocity_loss_on_the_linear_path_and_bounded_below_its_floor():
    t = torch.tensor([0.001, 0.1, 0.3, 0.999], dtype=torch.float64)
    clamped = ClampedVelocity(floor=0.1)
    below = torch.tensor([0.01**2, 1, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(output_weight(clamped, Velocity(), Linear(), t), below)
    torch.testing.assert_close(output_weight(clamped, X0(), Linear(), t), 1 / t.clamp(min=0.1) ** 2)
    assert clamped(Linear().snr(torch.zeros(1))).item() == pytest.approx(100)  # where the SNR is infinite


@pytest.mark.parametrize("process", [VP(), VP(zero_terminal_snr=True), VPCosine(), VPContinuous(), VE()], ids=repr)
def test_clamped_velocity_is_bounded_on_every_process(process):
    t = torch.linspace(max(process.t_min, 1e-6), process.t_max, 50, dtype=torch.float64)
    weight = ClampedVelocity(floor=0.1)(process.snr(t))
    assert weight.isfinite().all() and weight.min() >= 1 and weight.max() <= 100 + 1e-9
    assert (weight.diff() <= 1e-12).all()  # the less noise, the more an error of x0 counts
