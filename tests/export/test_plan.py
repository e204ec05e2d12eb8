"""A plan is the sampler: what it computes around a network is what the sampler makes, for every one of them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import replaced
from fromnoise.common.seeds import generator
from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export.plan import sampling_plan
from fromnoise.export.unrolled import UnrolledSampler
from fromnoise.model.build import build_denoiser
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import Settings

SPEC, SEEDS, LABELS = ImageSpec(1, 9, 10, ("a", "b", "c")), [3, 4, 5], torch.tensor([0, 1, 2])


def model_of(**changes):
    """A model with weights that answer to time, class and image."""
    own = {"net.width": 8, "net.depth": 1, "objective.prediction": "edm", "objective.time_sampling": "uniform"}
    settings = replaced(Settings(), {**own, "sample.steps": 5, **changes})
    denoiser = build_denoiser(settings, SPEC, 0.5)
    torch.manual_seed(0)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return TrainedModel(denoiser.eval(), settings.sample, (1, 1, 1))


def by_plan(model):
    plan, process = sampling_plan(model.sampling, model.denoiser), model.process
    fresh = [
        [process.prior.sample(SPEC.shape, generator(0, "fresh noise", i, s)) for s in SEEDS] for i in plan.fresh_steps
    ]
    draws = torch.stack([torch.stack(draw) for draw in fresh]) if fresh else None
    unrolled = UnrolledSampler(model.denoiser.net, plan, model.spec, model.sampling)
    noise = start_noise(process, SPEC.shape, SEEDS)
    with torch.no_grad():
        return unrolled(noise, LABELS, torch.tensor(model.sampling.guidance_scale), draws)


def by_sampler(model):
    *_, last = model.steps(SEEDS, LABELS)
    return last.x


@pytest.mark.parametrize("process", ["linear", "vp", "vp_continuous", "ve"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_plan_is_its_sampler(sampler, process):
    changes = {"process.kind": process, "sample.sampler": sampler, "sample.guidance_scale": 1.7}
    try:
        model = model_of(**changes)
    except UsageError:
        pytest.skip(f"{sampler} is not for {process}")
    torch.testing.assert_close(by_plan(model), by_sampler(model), atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"sample.clip": True},
        {"sample.threshold": 0.9},
        {"sample.guidance_scale": 2.0, "sample.guidance_rescale": 0.7, "sample.clip": True},
        {"sample.guidance_scale": 2.0, "sample.guidance_interval": (0.3, 0.7)},
        {"sample.guidance_scale": 0.0},
        {"sample.guidance_scale": 0.0, "sample.guidance_rescale": 0.7},
        {"sample.grid": "1,0.7,0.2,0"},
        {"process.prior": "uniform", "process.low": 0.0},
        {"objective.prediction": "velocity"},
    ],
)
def test_a_plan_keeps_guidance_range_and_grid(changes):
    model = model_of(**changes)
    model = TrainedModel(model.denoiser, model.sampling, model.label_counts)
    torch.testing.assert_close(by_plan(model), by_sampler(model), atol=5e-5, rtol=1e-4)


def test_guidance_acts_in_its_interval_alone():
    model = model_of(**{"sample.guidance_scale": 2.0, "sample.guidance_interval": (0.3, 0.7), "sample.grid": "uniform"})
    plan = sampling_plan(model.sampling, model.denoiser)
    assert [(round(one.t, 1), one.guided) for one in plan.evaluations] == [
        (1.0, False), (0.8, False), (0.6, True), (0.4, True), (0.2, False)
    ]  # fmt: skip


def test_a_plan_is_plain_numbers():
    plan = sampling_plan(model_of(**{"sample.sampler": "ddpm"}).sampling, model_of().denoiser)
    content = json.loads(json.dumps(asdict(plan)))
    assert content["fresh_steps"] == list(plan.fresh_steps) and len(content["evaluations"]) == plan.steps == 5


def test_autoguidance_is_refused():
    model = model_of(**{"sample.autoguidance_scale": 2.0, "sample.guide_checkpoint": "100"})
    with pytest.raises(UsageError, match="100"):
        sampling_plan(model.sampling, model.denoiser)
