"""From names to things: what is composed, in which order, and what is refused."""

import dataclasses

import pytest
import torch
from torch import nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import replaced
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.process_registry import build_process
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.multistep import DPMpp
from fromnoise.diffusion.time_sampling import ShiftedTimes, UniformTimes
from fromnoise.diffusion.vp import VP, VPContinuous
from fromnoise.model.build import (
    build_denoiser,
    build_objective,
    build_sampler,
    build_sampling,
    check_sampling,
    model_spec,
)
from fromnoise.model.samples import Samples
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import ProcessOptions, SampleOptions, Settings

SPEC = ImageSpec(1, 4, 4, ("a", "b"))


class LabelNumber(nn.Module):
    """The label's number everywhere, in units of 0.6: 0, 0.6, and 1.2 for no class."""

    def forward(self, x, code, label=None):
        return 0.6 * label.view(-1, 1, 1, 1).expand_as(x).float()


def denoiser():
    return Denoiser(LabelNumber(), Linear(), X0(), SPEC)


def test_the_guided_estimate_is_clipped_and_not_its_inputs():
    """without 1.2, with 0.6, scale 2: guided 0.0; clipped first it would be 2 x 0.6 - 1.0 = 0.2."""
    guided, _, _ = build_sampling(SampleOptions(guidance_scale=2.0, clip=True), denoiser())
    x, t = torch.zeros(1, 1, 4, 4), torch.full((1,), 0.5).double()
    torch.testing.assert_close(guided(x, t, torch.tensor([1])).x0, torch.zeros(1, 1, 4, 4))
    guided, _, _ = build_sampling(SampleOptions(guidance_scale=4.0, clip=True), denoiser())
    torch.testing.assert_close(guided(x, t, torch.tensor([0])).x0, torch.full((1, 1, 4, 4), -1.0))


def test_guidance_of_a_model_that_saw_no_unlabelled_images_is_refused():
    model = TrainedModel(denoiser(), SampleOptions(steps=1), (1, 1), sees_unlabelled=False)
    for scale in (0.0, 2.0):
        with pytest.raises(UsageError, match=r"guidance_scale.*label_dropout"):
            model.sample(1, guidance_scale=scale)
    with_dropout = dataclasses.replace(model, sees_unlabelled=True)
    assert with_dropout.with_sampling(guidance_scale=2.0).sampling.guidance_scale == 2


def test_samples_show_their_labels():
    assert "labels [1, 0, 1]" in repr(Samples(torch.zeros(3, 4, 4, 1), [3, 4, 5], [1, 0, 1]))
    assert "labels" not in repr(Samples(torch.zeros(3, 4, 4, 1), [3, 4, 5], None))


def test_guidance_pulls_in_its_interval_only():
    options = SampleOptions(guidance_scale=2.0, guidance_interval=(0.2, 0.6))
    guided, _, _ = build_sampling(options, denoiser())
    label = torch.tensor([1])
    costs = [guided.num_evaluations(torch.tensor([t], dtype=torch.float64), label) for t in (0.1, 0.2, 0.6, 0.7)]
    assert costs == [1, 2, 2, 1]


def test_an_interval_below_the_least_time_is_refused():
    process = build_process(ProcessOptions(kind="vp"))
    for interval in ((0.2, 0.7), (1000.5, 2000.0)):
        with pytest.raises(UsageError, match="the times of this process are 1 to 1000, so that it would never act"):
            check_sampling(SampleOptions(guidance_interval=interval), process, SPEC)
    check_sampling(SampleOptions(guidance_interval=(0.2, 1.0)), process, SPEC)


def test_eta_and_churn_reach_their_samplers_alone():
    assert build_sampler(SampleOptions(eta=0.3)) == DDIM(eta=0.3)
    assert build_sampler(SampleOptions(sampler="edm", churn=2, steps=8)).churn == 0.25
    assert build_sampler(SampleOptions(sampler="dpmpp_2m", churn=3, grid="1,0.5,0.2,0")) == DPMpp(2, churn=1)
    with pytest.raises(UsageError, match=r"eta.*'euler'.*'ddim'"):
        build_sampler(SampleOptions(sampler="euler", eta=0.3))


def test_processes_are_composed_from_their_options():
    assert build_process(ProcessOptions()) == Linear()
    assert build_process(ProcessOptions(kind="ve")) == VE()
    table = build_process(ProcessOptions(kind="vp", betas="scaled_linear", beta_start=0.00085, beta_end=0.012))
    assert table == VP("scaled_linear", 1000, 0.00085, 0.012)
    limit = build_process(ProcessOptions(kind="vp_continuous", steps=100, beta_end=0.2, zero_terminal_snr=True))
    assert limit == VPContinuous("linear", 0.01, 20.0, True)


@pytest.mark.parametrize("given, expected", [(None, 0.3), (0.7, 0.7)])
def test_edms_prediction_and_weighting_have_the_datas_deviation_unless_another_is_set(given, expected):
    changes = {"objective.prediction": "edm", "objective.weighting": "edm", "objective.sigma_data": given}
    config = replaced(Settings(), {**changes, "net.width": 8})
    assert build_denoiser(config, SPEC, 0.3).prediction.sigma_data == expected
    assert build_objective(config.objective, 0.3).weighting.sigma_data == expected


def test_a_model_has_classes_where_it_is_conditioned_on_them():
    config = replaced(Settings(), {"process.low": 0.0})
    assert model_spec(SPEC, config) == ImageSpec(1, 4, 4, ("a", "b"), 0.0, 1.0)
    assert model_spec(SPEC, replaced(config, {"net.class_conditioning": False})).classes == ()


def test_only_a_prediction_of_x0_is_bounded():
    x, t = 30 * torch.randn(4, 1, 4, 4), torch.full((4,), 0.5).double()
    for prediction, bounded in (("x0", True), ("velocity", False)):
        changes = {"net.bounded": True, "net.width": 8, "objective.prediction": prediction}
        built = build_denoiser(replaced(Settings(), changes), SPEC, 0.5)
        for value in built.net.parameters():
            nn.init.normal_(value, std=0.5)
        with torch.no_grad():
            out = built.predict(x, t)
        assert (float(out.abs().max()) == 1.0) == bounded


def test_a_grid_of_written_times_has_its_own_number_of_steps():
    model = TrainedModel(denoiser(), SampleOptions(steps=20), (1, 1))
    written = model.with_sampling(grid="1,0.6,0.3,0")
    assert written.sampling.steps == 3 and written.with_sampling(steps=9).sampling.steps == 3
    assert build_sampling(written.sampling, denoiser())[2].tolist() == pytest.approx([1, 0.6, 0.3, 0])
    assert written.with_sampling(grid="auto", steps=7).sampling.steps == 7


def test_training_times_are_shifted_where_that_is_set():
    options = Settings().objective
    shifted = dataclasses.replace(options, time_sampling="uniform", time_shift=2.0)
    assert build_objective(shifted, 0.5).times == ShiftedTimes(UniformTimes(), 2.0)
    assert build_objective(dataclasses.replace(shifted, time_shift=1.0), 0.5).times == UniformTimes()
    table = {"process.kind": "vp", "objective.time_sampling": "discrete", "net.width": 8}
    build_denoiser(replaced(Settings(), table), SPEC, 0.5)
    with pytest.raises(UsageError, match=r"discrete.*objective\.time_shift=1"):
        build_denoiser(replaced(Settings(), {**table, "objective.time_shift": 2.0}), SPEC, 0.5)
