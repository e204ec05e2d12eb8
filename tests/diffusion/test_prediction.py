"""Every prediction is a row; one solve inverts them all; weightings carry over by one factor."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.prediction import (
    EDM,
    PREDICTIONS,
    Eps,
    V,
    Velocity,
    determinant,
    prediction_target,
    solve_x0_eps,
)
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.vp import VP, VPContinuous, VPCosine, VPLinear
from fromnoise.diffusion.weighting import WEIGHTINGS, EDMWeighting, Sigmoid, output_weight
from fromnoise.testing import compatible_pairs

PAIRS = [
    pytest.param(process, prediction, id=pair)
    for pair, (prediction, process) in compatible_pairs({name: make() for name, make in PREDICTIONS.items()}).items()
]


def state(process):
    t = torch.linspace(max(process.t_min, 1e-2 * process.t_max), process.t_max, 16, dtype=torch.float64)
    x0, eps = torch.randn(2, 16, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return t, x0, eps, process.corrupt(x0, eps, t)


@pytest.mark.parametrize("process, prediction", PAIRS)
def test_weightings_mean_the_same_for_every_prediction(process, prediction):
    t, x0, eps, xt = state(process)
    wrong = prediction_target(prediction, process, x0, eps, t) + 0.1
    found, _ = solve_x0_eps(prediction, process, xt, t, wrong)
    x0_error = ((found - x0) ** 2).flatten(1).mean(1)
    out_error = torch.full_like(x0_error, 0.01)
    for name, weighting in WEIGHTINGS.items():
        if name != "unit":
            said = output_weight(weighting, prediction, process, t) * out_error
            torch.testing.assert_close(said, weighting(process.snr(t)) * x0_error, rtol=1e-7, atol=1e-12)


def test_snr_weighting_of_the_image_is_unit_weighting_of_the_noise():
    process = VPLinear()
    t = torch.linspace(1, 1000, 50, dtype=torch.float64)
    torch.testing.assert_close(output_weight(WEIGHTINGS["snr"], Eps(), process, t), torch.ones(50, dtype=torch.float64))


def test_determinants():
    t = torch.linspace(0.01, 1, 9, dtype=torch.float64)
    _, sigma = Linear().scales(t)
    torch.testing.assert_close(determinant(PREDICTIONS["x0"](), Linear(), t), -sigma)
    torch.testing.assert_close(determinant(V(), VPLinear(), t * 999 + 1), torch.ones_like(t))
    torch.testing.assert_close(determinant(Velocity(), Linear(), t), torch.ones_like(t))


def test_edm_has_unit_variance_in_and_out():
    sd, process, t = 0.3, VE(), torch.tensor([0.01, 0.5, 10.0], dtype=torch.float64)
    edm = EDM(sigma_data=sd)
    alpha, sigma = process.scales(t)
    p, q = edm.row(process, t)
    torch.testing.assert_close((p * sd) ** 2 + q**2, torch.ones_like(t))
    torch.testing.assert_close(edm.input_scale(process, t) ** 2 * ((alpha * sd) ** 2 + sigma**2), torch.ones_like(t))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    pair=st.sampled_from([pair.values for pair in PAIRS]),
    share=st.floats(1e-3, 0.999),
    sigma_data=st.floats(0.05, 3.0),
)
def test_any_prediction_at_any_time_comes_back(pair, share, sigma_data):
    process, prediction = pair[0], type(pair[1])(sigma_data)
    t = torch.tensor([max(process.t_min, share * process.t_max)], dtype=torch.float64)
    x0, eps = torch.randn(2, 1, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    xt = process.corrupt(x0, eps, t)
    for got, wanted in zip(
        solve_x0_eps(prediction, process, xt, t, prediction_target(prediction, process, x0, eps, t)),
        (x0, eps),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-8)


def test_edm_weighting_is_edms_and_sigmoid_is_a_soft_min_snr():
    level = torch.tensor([0.01, 0.5, 10.0], dtype=torch.float64)
    published = (level**2 + 0.3**2) / (level * 0.3) ** 2
    torch.testing.assert_close(EDMWeighting(0.3)(1 / level**2), published)
    # EDM's own loss is its weight times the x0 error, which is the plain error of its network's output.
    t = torch.tensor([0.01, 0.5, 10.0], dtype=torch.float64)
    torch.testing.assert_close(
        output_weight(EDMWeighting(0.3), EDM(0.3), VE(), t), torch.ones(3, dtype=torch.float64), rtol=1e-9, atol=0
    )
    snr = torch.tensor([0.0, 1e-4, 1e6], dtype=torch.float64)
    torch.testing.assert_close(Sigmoid(2.0)(snr), snr.clamp(max=math.exp(2.0)), rtol=1e-4, atol=0)
    torch.testing.assert_close(Sigmoid(2.0)(snr[1:]), snr[1:] * torch.sigmoid(2.0 - snr[1:].log()))


def test_noise_prediction_is_refused_where_no_image_is_left():
    for process in (Linear(), VP(zero_terminal_snr=True), VPContinuous("squaredcos_cap_v2")):
        with pytest.raises(UsageError, match=r"'eps'.*'v'"):
            Eps().check(process)
    Eps().check(VPCosine())
