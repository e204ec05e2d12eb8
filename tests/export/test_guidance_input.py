"""Exports of a network that takes the guidance scale as an input: the model's samples, and one evaluation a step."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fromnoise.common.image_spec import GuidanceInput, ImageSpec
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export import html_file as page
from fromnoise.export.diffusers_files import diffusers_files
from fromnoise.export.int8 import OnnxDenoiser
from fromnoise.export.onnx_file import network_onnx, onnx_file
from fromnoise.export.onnx_session import run_onnx
from fromnoise.export.plan import sampling_plan
from fromnoise.export.torch_file import torch_file
from fromnoise.export.unrolled import UnrolledSampler
from fromnoise.export.verification import reference, run_check

SPEC = ImageSpec(1, 8, 8, ("cat", "dog"), guidance_input=GuidanceInput(3.0, (0.2, 0.8)))
GUIDED = {"sample.sampler": "unipc_2", "sample.guidance_scale": 2.0, "sample.guidance_interval": (0.3, 0.8)}
SEEDS = range(3)
LABELS = torch.tensor([0, 1, 1])


@pytest.fixture(scope="module")
def model(made):
    return made(SPEC, **GUIDED)


def samples(model, **settings):
    *_, last = model.with_sampling(**settings).steps(SEEDS, LABELS)
    return last


def test_a_sampler_of_torch_evaluates_once(model):
    expected = samples(model)
    assert expected.evaluations == 3
    file = torch.export.load(io.BytesIO(torch_file(model, sampler=True).content))
    noise = start_noise(model.process, SPEC.shape, SEEDS)
    for scale in (2.0, 1.3):
        got = file.module()(noise=noise, label=LABELS, guidance_scale=torch.tensor(scale))
        torch.testing.assert_close(got, samples(model, guidance_scale=scale).x, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected.x, samples(model, guidance_scale=1.0).x, atol=1e-2)


def test_a_plan_shows_the_network_each_image_once(model):
    seen = []
    net = model.denoiser.net
    hook = net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    plan = sampling_plan(model.sampling, model.denoiser)
    sampler = UnrolledSampler(net, plan, SPEC, model.sampling)
    made = sampler(start_noise(model.process, SPEC.shape, SEEDS), LABELS, torch.tensor(2.0))
    hook.remove()
    assert seen == [len(SEEDS)] * 3 and any(one.guided for one in plan.evaluations)
    torch.testing.assert_close(made, samples(model).x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", [3, 101])
def test_a_sampler_of_onnx_makes_the_models_samples(steps, model):
    pytest.importorskip("onnxruntime")
    by_loop = model.with_sampling(steps=steps)
    file = onnx_file(by_loop, sampler=True)
    noise = start_noise(model.process, SPEC.shape, SEEDS)
    got = run_onnx(file.content, {"noise": noise, "label": LABELS, "guidance_scale": torch.tensor(2.0)})
    assert np.abs(got - samples(by_loop).x.numpy()).max() < 1e-3


def test_a_denoiser_takes_the_scale(model):
    pytest.importorskip("onnxruntime")
    file = onnx_file(model)
    assert file.inputs["guidance_scale"] == "float32 (B)"
    by_file = OnnxDenoiser(file.content, model.denoiser)
    got = samples(replace(model, denoiser=by_file.eval()))
    torch.testing.assert_close(got.x, samples(model).x, atol=1e-3, rtol=1e-3)


def test_a_page_evaluates_once(model):
    pytest.importorskip("onnxruntime")
    network = network_onnx(model)
    got = page.page_samples(model, network, SEEDS, LABELS)
    expected = page._samples(model, model.denoiser.net, SEEDS, LABELS)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    assert page.about(model, "")["guidance_most"] == 3.0


def test_a_folder_for_diffusers_makes_the_models_images(model, settings_of, tmp_path):
    pytest.importorskip("diffusers")
    for name, content in diffusers_files(model, settings_of(**GUIDED)).files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert json.loads((tmp_path / "unet" / "config.json").read_text())["guidance_input"]["most"] == 3.0
    expected = reference(model)
    images = run_check("check_diffusers.py", tmp_path, {**expected.arrays(), "steps": model.sampling.steps})
    assert expected.images.std() > 0.01 and expected.difference(images) < 1e-3
