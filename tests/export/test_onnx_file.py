"""ONNX files: what torch computes, for any batch size, loaded and sampled without fromnoise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export import onnx_file as module
from fromnoise.export.int8 import sampler_inputs
from fromnoise.export.modules import traceable
from fromnoise.export.onnx_file import onnx_file
from fromnoise.export.onnx_session import run_onnx
from fromnoise.export.usage import onnx_usage
from fromnoise.run import Run

onnx = pytest.importorskip("onnx")
CLASSES = ("cat", "dog")
# At its last time little of the image is left, so that a rounding of the noise predicted is 20,000 times one of x0.
COSINE = {
    "net.kind": "basic_unet",
    "process.kind": "vp",
    "process.betas": "squaredcos_cap_v2",
    "objective.prediction": "eps",
}


@pytest.mark.parametrize(
    "spec, changes",
    [
        (ImageSpec(1, 30, 33, CLASSES), {"objective.prediction": "edm"}),
        (ImageSpec(3, 12, 12), {"net.kind": "dit", "net.width": 32, "process.kind": "vp"}),
        (ImageSpec(4, 10, 9, CLASSES), {"net.kind": "basic_unet", "process.kind": "vp_continuous"}),
        (
            ImageSpec(1, 9, 8),
            {"net.kind": "unet2d", "net.channels": (32, 32), "process.kind": "ve", "objective.prediction": "edm"},
        ),
        (ImageSpec(1, 8, 8), COSINE),
    ],
)
def test_a_denoiser_is_the_models_for_any_batch(spec, changes, made):
    model = made(spec, 0.05, **changes)
    file = onnx_file(model)
    assert 0 < file.difference <= module.TOLERANCE
    x, t = torch.randn(5, *spec.shape), torch.linspace(0.3, 0.9, 5) * model.process.t_max
    label = {"label": torch.tensor([0, 1, 2, 1, 0])} if spec.classes else {}
    with torch.no_grad():
        expected = model.denoiser(x, t.double(), **label).x0
    np.testing.assert_allclose(run_onnx(file.content, {"x": x, "t": t, **label}), expected, atol=1e-4, rtol=1e-4)


def test_a_sampler_makes_the_models_samples(made):
    model = made(
        ImageSpec(1, 8, 8, CLASSES),
        0.05,
        **{"sample.sampler": "unipc_2", "sample.guidance_scale": 2.0, "sample.guidance_interval": (0.2, 0.8)},
    )
    file = onnx_file(model, sampler=True)
    assert list(file.inputs) == ["noise", "label", "guidance_scale"]
    seeds, labels = range(5), torch.tensor([0, 1, 0, 1, 1])
    *_, last = model.steps(seeds, labels)
    given = {"noise": start_noise(model.process, model.spec.shape, seeds), "label": labels}
    got = run_onnx(file.content, {**given, "guidance_scale": torch.tensor(2.0)})
    np.testing.assert_allclose(got, last.x, atol=1e-4)


def test_a_sampler_that_adds_noise_takes_it_as_an_input(made):
    file = onnx_file(made(ImageSpec(1, 8, 8), **{"sample.sampler": "ddpm", "sample.clip": True}), sampler=True)
    assert file.inputs["fresh"] == "float32 (3, B, 1, 8, 8)"


MANY = {
    "ddpm": {"sample.sampler": "ddpm", "sample.steps": 150, "process.kind": "vp", "sample.clip": True},
    "heun": {"sample.sampler": "heun", "sample.steps": 60, "sample.guidance_interval": (0.2, 0.8)},
    "ipndm_4": {"sample.sampler": "ipndm_4", "sample.steps": 120, "process.kind": "vp"},
    "edm": {"sample.sampler": "edm", "sample.steps": 60, "process.kind": "ve", "objective.prediction": "edm"},
}


@pytest.mark.parametrize("name", MANY)
def test_a_sampler_of_many_steps_is_a_loop_that_makes_the_models_samples(name, made):
    spec = ImageSpec(1, 9, 8, CLASSES if name in ("heun", "ipndm_4") else ())
    model = made(spec, 0.05, **{"sample.guidance_scale": 2.0 if spec.classes else 1.0}, **MANY[name])
    file = onnx_file(model, sampler=True)
    assert 0 < file.difference < module.TOLERANCE
    assert len(file.content) < 2.5 * len(onnx_file(model).content) + 200 * model.sampling.steps
    proto = onnx.load_from_string(file.content)
    assert [node.op_type for node in proto.graph.node].count("Scan") == 1
    assert [one.name for one in proto.graph.input] == list(file.inputs)
    seeds = range(5)
    labels = torch.tensor([0, 1, 0, 1, 1]) if spec.classes else None
    *_, last = model.steps(seeds, labels)
    np.testing.assert_allclose(run_onnx(file.content, sampler_inputs(model, seeds, labels)), last.x, atol=1e-4)


@pytest.mark.parametrize("how", [{"half": True}, {"int8": "dynamic"}])
def test_a_loop_in_8_or_16_bits_is_refused_with_a_number_of_steps_that_works(how, made):
    with pytest.raises(UsageError, match="--steps 50"):
        onnx_file(made(ImageSpec(1, 8, 8), **MANY["heun"]), sampler=True, **how)


def test_half_is_smaller_and_says_what_it_changes(made):
    model = made(ImageSpec(1, 8, 8), 0.05, **{"net.width": 32})
    whole, half = onnx_file(model), onnx_file(model, half=True)
    assert len(half.content) < 0.7 * len(whole.content)
    assert whole.difference < half.difference < 0.05


def test_metadata_says_range_classes_and_opset(made):
    proto = onnx.load_from_string(onnx_file(made(ImageSpec(1, 8, 8, CLASSES))).content)
    about = {entry.key: entry.value for entry in proto.metadata_props}
    assert (about["range"], about["classes"], about["no_class"]) == ("[-1.0, 1.0]", '["cat", "dog"]', "2")
    assert [one.version for one in proto.opset_import if not one.domain] == [module.OPSET]


def test_a_file_that_differs_is_refused(made, monkeypatch):
    monkeypatch.setattr(module, "run_onnx", lambda *_: np.float32(7.0))
    with pytest.raises(CheckpointError):
        onnx_file(made(ImageSpec(1, 8, 8)))


@pytest.mark.parametrize("number", [0, 1], ids=["little noise", "nothing but noise"])
def test_what_differs_by_more_than_rounding_shows_at_any_time(made, number):
    given = traceable(made(ImageSpec(1, 8, 8), 0.05, **COSINE), sampler=False)
    assert given.gain[0] < 1 and given.gain[1] > 1e4
    with torch.no_grad():
        right = given.module(**given.resized(3))
    wrong = right.clone()
    wrong[number::2] += 0.001 * max(1, given.gain[number])  # as of a network that says 0.001 more
    assert module.TOLERANCE < given.difference(wrong, right, 3) == pytest.approx(0.001, rel=0.01)


def test_results_of_another_shape_or_that_are_not_finite_differ_infinitely(made):
    given = traceable(made(ImageSpec(1, 8, 8)), sampler=False)
    right = torch.zeros(3, 1, 8, 8)
    assert given.difference(right, right, 3) == 0 and given.difference(right + 0.5, right, 1, 2) == 0.5
    for wrong in (right[:2], right / 0, torch.zeros(())):
        assert given.difference(wrong, right, 3) == float("inf")


def test_dynamic_thresholding_is_refused(made):
    with pytest.raises(UsageError, match="threshold"):
        onnx_file(made(ImageSpec(1, 8, 8), **{"sample.threshold": 0.9}), sampler=True)


@pytest.mark.parametrize("flags", [[], ["--sampler"], ["--sampler", "ddpm", "--steps", "4"]])
def test_the_cards_example_samples_without_fromnoise(flags, run, tmp_path, capsys):
    out = tmp_path / "digits.onnx"
    assert main(["export", str(run), "--to", "onnx", str(out), *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "digits.onnx.md").read_text(), re.S)[1]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment, capture_output=True)
    with Image.open(tmp_path / "samples.png") as image:
        assert image.size == (4 * 16, 16) and np.asarray(image).std() > 10


def test_the_cards_example_of_a_distilled_run_samples_as_it_does(made):
    model = replace(made(ImageSpec(1, 8, 8)), distilled=True)
    model = model.with_sampling(sampler="renoise", grid="levels", steps=2)
    code = onnx_usage(model, onnx_file(model), "few.onnx", sampler=False)
    assert code.count("    (") == 3 and "images = (alpha_s * x0 + sigma_s * rng.standard_normal(" in code
    assert "keep" not in code


def test_arguments_of_another_format_are_refused_from_python(run, tmp_path):
    trained = Run(run)
    for kind, how, named in (
        ("onnx", {"steps": 5}, "steps with onnx alone"),
        ("html", {"half": True}, "half was given with html"),
        ("diffusers", {"private": True}, "private was given with diffusers"),
        ("onnx", {"half": True, "int8": "static"}, "half and int8"),
    ):
        with pytest.raises(UsageError, match=named):
            trained.export(kind, tmp_path / f"model.{kind}", **how)
    assert main(["export", str(run), "--to", "html", str(tmp_path / "p.html"), "--license", "mit"]) == 2
    assert not list(tmp_path.iterdir())


def test_half_says_its_arithmetic_and_both_sizes(run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "onnx", str(tmp_path / "digits.onnx"), "--half"]) == 0
    assert re.search(r"float16: \d\.\d\d MB instead of \d\.\d\d MB", capsys.readouterr().out)


def test_another_ending_is_refused(run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "onnx", str(tmp_path / "model.bin")]) == 2
    assert "model.bin" in capsys.readouterr().err and not list(tmp_path.iterdir())
