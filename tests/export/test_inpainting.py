"""An inpainting plan is `diffusion.editing.inpaint`: the same images from the same draws of noise."""

from __future__ import annotations

import math

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import replaced
from fromnoise.common.seeds import generator
from fromnoise.diffusion.editing import inpaint
from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export.inpainting import inpainting_plan
from fromnoise.export.unrolled import combine
from fromnoise.model.build import build_denoiser, build_sampling
from fromnoise.settings import Settings

SPEC, SEED = ImageSpec(1, 6, 8, ("a", "b")), 3
MASK = torch.zeros(1, 1, 6, 8, dtype=torch.bool)
MASK[..., 3:, 2:] = True


def parts(**changes):
    small = {"net.width": 8, "net.depth": 1, "objective.prediction": "edm", "objective.time_sampling": "uniform"}
    settings = replaced(Settings(), {**small, "sample.steps": 4, **changes})
    denoiser = build_denoiser(settings, SPEC, 0.5)
    torch.manual_seed(0)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return denoiser.eval(), settings.sample


def by_plan(denoiser, options, x0, label, resample):
    """The page's loop, with the noise that `inpaint` draws."""
    plan, prior = inpainting_plan(options, denoiser), denoiser.process.prior
    estimator, *_ = build_sampling(options, denoiser)
    noise = start_noise(denoiser.process, SPEC.shape, [SEED])
    x = torch.where(MASK, 0, plan.alpha[0] * x0) + plan.sigma[0] * noise
    for i, step in enumerate(plan.steps):
        alpha, sigma = plan.alpha[i + 1], plan.sigma[i + 1]
        for again in range(resample if sigma else 1):

            def draw(purpose, i=i, again=again):
                return prior.sample(SPEC.shape, generator(0, purpose, i, again, SEED))[None]

            found = []
            for at in step.evaluations:
                here = combine(at.x, x, found, [draw("fresh noise")])
                found.append(estimator(here, torch.tensor([at.t], dtype=torch.float64), label).x0)
            end = combine(step.end, x, found, [draw("fresh noise")])
            x = torch.where(MASK, end, alpha * x0 + sigma * draw("noise of what is known"))
            if again < resample - 1 and sigma:
                ratio = plan.alpha[i] / alpha
                x = ratio * x + math.sqrt(max(plan.sigma[i] ** 2 - (ratio * sigma) ** 2, 0)) * draw("back up")
    return x


@pytest.mark.parametrize("process", ["linear", "vp", "ve"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_plan_inpaints_as_its_sampler_does(sampler, process):
    try:
        denoiser, options = parts(
            **{"process.kind": process, "sample.sampler": sampler, "sample.guidance_scale": 1.7, "sample.clip": True}
        )
        estimator, steps, grid = build_sampling(options, denoiser)
        steps.check(denoiser.process)
    except UsageError:
        pytest.skip(f"{sampler} is not for {process}")
    x0, label = torch.rand(1, *SPEC.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1, torch.tensor([1])
    for resample in (1, 2):
        arguments = {"seeds": [SEED], "sampler": steps, "grid": grid, "label": label, "resample": resample}
        *_, last = inpaint(estimator, x0, MASK, **arguments)
        with torch.no_grad():
            made = by_plan(denoiser, options, x0, label, resample)
        torch.testing.assert_close(made, last.x, atol=5e-5, rtol=1e-4)
        assert torch.equal(made[~MASK], x0[~MASK])
