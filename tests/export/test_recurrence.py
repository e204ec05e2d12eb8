"""A plan as a loop: what it makes of noise is what the plan makes, from the last few alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.samplers.registry import SAMPLERS
from fromnoise.export.plan import Combination, Evaluation, SamplingPlan, sampling_plan
from fromnoise.export.recurrence import recurrence

PROCESSES = [("linear", "x0"), ("vp", "eps"), ("ve", "edm"), ("vp_continuous", "v")]


def by_plan(plan, network, fresh):
    found = []

    def x(at):
        return (
            at.noise * 0.7
            + sum(np.multiply(at.x0, found[: len(at.x0)]))
            + sum(np.multiply(at.fresh, fresh[: len(at.fresh)]))
        )

    for k, one in enumerate(plan.evaluations):
        found.append(network(k, x(one.x)))
    return x(plan.sample)


def by_loop(plan, network, fresh):
    loop, first = recurrence(plan), plan.evaluations[0].x
    x, x0 = [first.noise * 0.7 + sum(np.multiply(first.fresh, fresh[: len(first.fresh)]))], []
    for k in range(len(plan.evaluations)):
        x0.insert(0, network(k, x[0]))
        new = sum(w * one for w, one in zip(loop.x[k], x, strict=False))
        new += sum(w * one for w, one in zip(loop.x0[k], x0, strict=False))
        x.insert(0, new + sum(w * fresh[d] for w, d in zip(loop.fresh[k], loop.draws[k], strict=True)))
        x, x0 = x[: loop.memory], x0[: loop.memory]
    return x[0]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("process, prediction", PROCESSES)
def test_every_sampler_is_a_loop(name, process, prediction, made):
    changes = {"process.kind": process, "objective.prediction": prediction, "sample.sampler": name}
    try:
        model = made(ImageSpec(1, 8, 8), **changes)
        plans = [sampling_plan(model.sampling, model.denoiser, steps) for steps in (1, 4, 60)]
    except UsageError:
        pytest.skip("the sampler is not for this process")
    for plan in plans:
        fresh = np.random.default_rng(0).normal(size=max(len(plan.fresh_steps), 2))
        expected, got = (way(plan, lambda k, x: math.sin(3 * x + k), fresh) for way in (by_plan, by_loop))
        assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["unipc_3", "dpmpp_3m", "ipndm_4"])
def test_a_sampler_that_falls_back_where_guidance_begins_is_a_loop(name, made):
    guided = {"sample.guidance_scale": 2.0, "sample.guidance_interval": (0.25, 0.8)}
    model = made(ImageSpec(1, 8, 8, ("a", "b")), **{"sample.sampler": name, "sample.grid": "uniform", **guided})
    plan = sampling_plan(model.sampling, model.denoiser, 12)
    assert 0 < sum(one.guided for one in plan.evaluations) < 12
    expected, got = (way(plan, lambda k, x: math.sin(3 * x + k), np.zeros(2)) for way in (by_plan, by_loop))
    assert got == pytest.approx(expected, abs=1e-6)


def test_a_memory_that_is_longer_than_a_loop_carries_is_an_error():
    at = [Evaluation(1, 1, 1, 0, 1, False, Combination(float(k == 0), (0.0,) * k)) for k in range(7)]
    plan = SamplingPlan(7, (), (), tuple(at), (Combination(0.0, (1.0, *(0.0,) * 6)),), (7,))
    with pytest.raises(ValueError, match="remembers"):
        recurrence(plan)
