"""Folders for diffusers: stock where it can be, whole in themselves where not, equal to the model in either case."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.export.diffusers_files import diffusers_files
from fromnoise.export.network_source import network_source
from fromnoise.export.verification import TOLERANCE, reference, run_check
from fromnoise.nets import NETWORKS

DDPM = {
    "net.kind": "unet2d",
    "net.channels": (32, 32),
    "net.class_conditioning": False,
    "process.kind": "vp",
    "objective.prediction": "eps",
    "objective.time_sampling": "discrete",
    "sample.sampler": "ddpm",
    "sample.grid": "trailing",
    "sample.steps": 4,
    "sample.clip": True,
}
FLOW = {
    **{name: DDPM[name] for name in ("net.kind", "net.channels", "net.class_conditioning", "sample.steps")},
    "objective.prediction": "velocity",
    "sample.sampler": "euler",
    "sample.grid": "flow",
}
CLASSES = ("cat", "dog")


def write(files, folder):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


CASES = {
    "ddpm": (DDPM, ImageSpec(1, 8, 8), "DDPMScheduler"),
    "ddim": ({**DDPM, "sample.sampler": "ddim", "sample.clip": False}, ImageSpec(3, 8, 12), "DDIMScheduler"),
    "v-threshold": (
        {**DDPM, "objective.prediction": "v", "sample.threshold": 0.9, "process.betas": "squaredcos_cap_v2"},
        ImageSpec(4, 8, 8),
        "DDPMScheduler",
    ),
    "x0-zero-snr": (
        {**DDPM, "objective.prediction": "x0", "process.zero_terminal_snr": True, "process.betas": "scaled_linear"},
        ImageSpec(1, 8, 8),
        "DDPMScheduler",
    ),
    "flow": (FLOW, ImageSpec(1, 8, 8), "FlowMatchEulerDiscreteScheduler"),
    "padded": (DDPM, ImageSpec(1, 9, 8), None),
    "unet2d-classes": (
        {**DDPM, "net.class_conditioning": True, "sample.guidance_scale": 2.0},
        ImageSpec(3, 8, 8, CLASSES),
        None,
    ),
    "uniform-blind": (
        {**FLOW, "net.time_conditioning": False, "process.prior": "uniform", "process.low": 0.0},
        ImageSpec(1, 8, 8),
        None,
    ),
    "unet-guided": (
        {"sample.guidance_scale": 2.0, "sample.guidance_interval": (0.3, 0.8), "sample.sampler": "unipc_2"},
        ImageSpec(1, 30, 33, CLASSES),
        None,
    ),
    "unet-unguided": (
        {"sample.guidance_scale": 0.0, "sample.guidance_rescale": 0.7},
        ImageSpec(1, 12, 12, CLASSES),
        None,
    ),
    "unet-bounded": (
        {"net.bounded": True, "objective.prediction": "x0", "sample.sampler": "unipc_2"},
        ImageSpec(3, 12, 12),
        None,
    ),
    "dit-ve": (
        {"net.kind": "dit", "net.width": 32, "process.kind": "ve", "objective.prediction": "edm",
         "objective.time_sampling": "log_normal", "sample.sampler": "heun"},
        ImageSpec(3, 12, 12),
        None,
    ),
    "basic-eta": (
        {"net.kind": "basic_unet", "sample.sampler": "ddim", "sample.eta": 0.5, "sample.clip": True},
        ImageSpec(4, 10, 9, CLASSES),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_exported_folder_makes_the_models_images(case, made, settings_of, tmp_path):
    changes, spec, scheduler = CASES[case]
    model = made(spec, **changes)
    files = diffusers_files(model, settings_of(**changes))
    assert (files.stock.scheduler if files.stock else None) == scheduler
    assert bool(files.reasons) == (scheduler is None)
    write(files.files, tmp_path)
    expected = reference(model)
    images = run_check("check_diffusers.py", tmp_path, {**expected.arrays(), "steps": model.sampling.steps})
    assert expected.images.std() > 0.01
    assert expected.difference(images) <= (TOLERANCE if scheduler else TOLERANCE / 4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_source_of_a_network_stands_alone(kind, tmp_path):
    (tmp_path / "network.py").write_text(network_source(kind))
    check = (
        "import sys, network; assert network.Network; assert not any(m.startswith('fromnoise') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""})


def test_weights_that_are_not_finite_are_refused(made, settings_of):
    model = made(ImageSpec(1, 8, 8))
    torch.nn.init.constant_(model.denoiser.net.leave.bias, float("nan"))
    with pytest.raises(CheckpointError, match=r"leave\.bias"):
        diffusers_files(model, settings_of())


def test_the_verb_writes_a_folder_with_its_card_and_replaces_only_its_own(run, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", "diffusers", str(out), "--license", "mit"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    card = (out / "README.md").read_text()
    assert "license: mit" in card and "trust_remote_code=True" in card and str(tmp_path) not in card
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in out.rglob("*") if path.is_file())
    mark = json.loads((out / "fromnoise-export.json").read_text())
    assert mark["images_seen"] == 640 and mark["largest_difference"] <= 1e-4
    (out / "stray").touch()
    assert main(["export", str(run), "--to", "diffusers", str(out), "--steps", "2"]) == 0
    assert not (out / "stray").exists() and sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_folder_of_somebody_else_is_left_alone(run, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["export", str(run), "--to", "diffusers", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err and (tmp_path / "mine.txt").read_text() == "mine"


def test_an_export_that_differs_is_not_written(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fromnoise.run.export.run_check", lambda *_, **__: torch.zeros(4, 1, 16, 16))
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", "diffusers", str(out)]) == 4
    assert not out.exists() and list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_exit_6(run, tmp_path):
    (tmp_path / "file").touch()
    assert main(["export", str(run), "--to", "diffusers", str(tmp_path / "file" / "out")]) == 6


def test_unknown_formats_are_named(run, tmp_path, capsys):
    assert main(["export", str(run), "--to", "difusers", str(tmp_path / "out")]) == 2
    assert "diffusers" in capsys.readouterr().err
