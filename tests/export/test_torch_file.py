"""Files of torch.export: what the model computes, for any number of images, loaded without fromnoise."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export import modules
from fromnoise.export import torch_file as module
from fromnoise.export.torch_file import torch_file

CLASSES = ("cat", "dog")
UNET2D = {"net.kind": "unet2d", "net.channels": (32, 32), "process.kind": "vp", "objective.prediction": "eps"}


def load(file):
    found = {module.ABOUT: ""}
    return torch.export.load(io.BytesIO(file.content), extra_files=found).module(), json.loads(found[module.ABOUT])


@pytest.mark.parametrize(
    "spec, changes",
    [
        (ImageSpec(1, 30, 33, CLASSES), {"objective.prediction": "edm"}),
        (ImageSpec(3, 12, 12), {"net.kind": "dit", "net.width": 32, "process.kind": "vp"}),
        (ImageSpec(1, 9, 8), UNET2D),
    ],
)
def test_a_denoiser_is_the_models_for_any_number_of_images(spec, changes, made):
    model = made(spec, 0.05, **changes)
    file = torch_file(model)
    loaded, known = load(file)
    assert known["classes"] == json.dumps(spec.classes) and known["range"] == "[-1.0, 1.0]"
    for count in (1, 70):
        x, t = torch.randn(count, *spec.shape), torch.linspace(0.3, 0.9, count) * model.process.t_max
        label = {"label": torch.arange(count) % 3} if spec.classes else {}
        with torch.no_grad():
            expected = model.denoiser(x, t.double(), **label).x0
            torch.testing.assert_close(loaded(x=x, t=t, **label), expected, atol=1e-4, rtol=1e-4)


def test_a_sampler_makes_the_models_samples(made):
    guided = {"sample.sampler": "unipc_2", "sample.guidance_scale": 2.0, "sample.threshold": 0.9}
    model = made(ImageSpec(1, 8, 8, CLASSES), 0.05, **guided)
    file = torch_file(model, sampler=True)
    seeds, labels = range(5), torch.tensor([0, 1, 0, 1, 1])
    *_, last = model.steps(seeds, labels)
    noise = start_noise(model.process, model.spec.shape, seeds)
    got = load(file)[0](noise=noise, label=labels, guidance_scale=torch.tensor(2.0))
    torch.testing.assert_close(got, last.x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name, evaluations", [("ddim", 101), ("heun", 200)])
def test_a_sampler_of_very_many_steps_is_refused_with_a_number_that_works(name, evaluations, made):
    spec, settings = ImageSpec(1, 8, 8), {"sample.sampler": name, "process.kind": "vp"}
    with pytest.raises(UsageError, match=rf"{evaluations} .*--steps \d+") as caught:
        torch_file(made(spec, **settings, **{"sample.steps": 101}), sampler=True)
    few = made(spec, **settings, **{"sample.steps": int(re.search(r"--steps (\d+)", str(caught.value))[1])})
    modules.check_unrolled(modules.traceable(few, sampler=True), few, "it")


def test_a_file_that_differs_is_refused(made, monkeypatch):
    monkeypatch.setattr(module, "run_check", lambda *_: torch.zeros(sum(module.BATCHES), 1, 8, 8))
    with pytest.raises(CheckpointError):
        torch_file(made(ImageSpec(1, 8, 8)))


@pytest.mark.parametrize("flags", [[], ["--sampler", "ddpm", "--steps", "4"]])
def test_the_cards_example_runs_without_fromnoise(flags, run, tmp_path, capsys):
    out = tmp_path / "digits.pt2"
    assert main(["export", str(run), "--to", "torch", str(out), *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "digits.pt2.md").read_text(), re.S)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    result = "images" if flags else "x0"
    code += f"\nassert {result}.shape == (4, 1, 16, 16) and {result}.isfinite().all() and {result}.std() > 0.01"
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment, capture_output=True)


def test_another_ending_is_refused_and_a_failure_leaves_the_old_file(run, tmp_path, monkeypatch, capsys):
    assert main(["export", str(run), "--to", "torch", str(tmp_path / "model.bin")]) == 2
    assert "model.bin" in capsys.readouterr().err and not list(tmp_path.iterdir())
    (tmp_path / "model.pt2").write_text("before")
    monkeypatch.setattr(module, "run_check", lambda *_: torch.tensor(float("nan")))
    assert main(["export", str(run), "--to", "torch", str(tmp_path / "model.pt2")]) == 4
    assert (tmp_path / "model.pt2").read_text() == "before" and len(list(tmp_path.iterdir())) == 1
