"""How many images and samples a diagnosis takes, by the speed of the network."""

from dataclasses import dataclass

import pytest

from fromnoise.diagnosis.time_budget import finer_sampling, images_to_denoise, samples_to_make, too_slow_to_sample
from fromnoise.diffusion.process import Linear, Process
from fromnoise.diffusion.vp import VPLinear
from fromnoise.settings import SampleOptions


@dataclass
class Model:
    """As much of a TrainedModel as is read."""

    sampling: SampleOptions
    process: Process


@pytest.mark.parametrize(("speed", "count"), [(1e6, 256), (426, 128), (300, 128), (110, 64), (1, 32)])
def test_a_slow_network_denoises_fewer_images(speed, count):
    assert images_to_denoise(speed, levels=10) == count


def test_guidance_and_second_order_cost_samples():
    plain = SampleOptions(steps=10, sampler="ddim", guidance_scale=1.0)
    guided = SampleOptions(steps=10, sampler="ddim", guidance_scale=2.0)
    heun = SampleOptions(steps=10, sampler="heun", guidance_scale=1.0)
    counts = [samples_to_make(320.0, options, finer_steps=40) for options in (plain, guided, heun)]
    assert counts == [192, 96, 96] and samples_to_make(10.0, plain, finer_steps=40) == 0


def test_too_slow_is_90_seconds_for_32_samples():
    options = SampleOptions(steps=90)
    assert too_slow_to_sample(31.9, options) and not too_slow_to_sample(32.0, options)


def test_finer_sampling_has_four_times_the_steps_that_the_process_has():
    assert finer_sampling(Model(SampleOptions(steps=7), Linear())).steps == 28
    assert finer_sampling(Model(SampleOptions(steps=700), VPLinear())).steps == 1000
    written = finer_sampling(Model(SampleOptions(steps=2, grid="1,0.5,0"), Linear()))
    assert written.steps == 8 and written.grid == "auto"
