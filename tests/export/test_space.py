"""A Space: its app makes the model's images without fromnoise, in a process and through its own HTTP interface."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import time
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.image_spec import ImageSpec
from fromnoise.export.diffusers_files import STEP_COUNTS
from fromnoise.export.space_files import GRADIO, space_facts
from fromnoise.settings import SampleOptions


@pytest.fixture(scope="module")
def space(run, tmp_path_factory):
    pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("spaces") / "space"
    assert main(["export", str(run), "--to", "space", str(folder), "--license", "mit"]) == 0
    return folder


def test_a_space_has_its_header_its_app_and_the_pipeline(space):
    yaml = pytest.importorskip("yaml")
    header = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert (header["sdk"], header["app_file"], header["license"]) == ("gradio", "app.py", "mit")
    assert {path.name for path in space.iterdir()} == {
        "README.md", "app.py", "fromnoise-export.json", "model", "requirements.txt"
    }  # fmt: skip
    facts = json.loads((space / "fromnoise-export.json").read_text())
    assert facts["format"] == "space" and facts["largest_difference"] < 1e-3
    assert facts["steps"] in facts["step_counts"] and len(facts["classes"]) == 10
    assert "fromnoise" not in (space / "requirements.txt").read_text()
    assert all(str(space.parent) not in path.read_text(errors="ignore") for path in space.rglob("*") if path.is_file())


def test_steps_that_make_noise_are_not_offered():
    def offered(table, **sampling):
        own = SampleOptions(**sampling)
        spec = ImageSpec(1, 8, 8)
        model = SimpleNamespace(sampling=own, spec=spec, process=SimpleNamespace(steps=table))
        return space_facts(model, "a model", stock=True)["step_counts"]

    assert offered(1000, sampler="ddpm_large", steps=1000) == [1000]
    assert offered(40, sampler="ddim", steps=8) == sorted({8, *(n for n in STEP_COUNTS if n <= 40)})


def test_a_seed_has_its_image_in_any_number(space):
    """Its class is drawn by its own generator too."""
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(str(space / "model"), trust_remote_code=True, low_cpu_mem_usage=False)

    def made(*seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return pipe(batch_size=len(seeds), generator=generators, output_type="np").images.astype(int)

    together = made(0, 1, 2)
    assert all(np.abs(made(seed)[0] - together[seed]).max() <= 1 for seed in (0, 1, 2))
    with pytest.raises(ValueError, match="2 generators"):
        pipe(batch_size=3, generator=[torch.Generator(), torch.Generator()])


def test_an_app_that_makes_other_images_is_not_written(run, tmp_path, monkeypatch, capsys):
    from fromnoise.run import export

    def check(script, folder, inputs):
        images = real(script, folder, inputs)
        return 1 - images if script == "check_space.py" else images

    real = export.run_check
    monkeypatch.setattr(export, "run_check", check)
    assert main(["export", str(run), "--to", "space", str(tmp_path / "space")]) == 4
    assert "differ" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_app_answers_with_the_pipelines_images(space, python_with):
    python = python_with(f"gradio=={GRADIO}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen(
        [python, "app.py"],
        cwd=space,
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        made = answers(f"http://127.0.0.1:{port}/gradio_api", server)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(str(space / "model"), trust_remote_code=True)
    draws = [torch.Generator().manual_seed(seed) for seed in (7, 8)]
    expected = pipe(class_labels=[3, 3], num_inference_steps=4, guidance_scale=2.0, generator=draws).images
    assert len(made) == 2 and np.std(made[0]) > 5
    for image, other in zip(made, expected, strict=True):
        assert np.abs(image.astype(int) - np.asarray(other).astype(int)).max() <= 1


def answers(address, server):
    """What the app's `generate` makes of class 3, seed 7, two images, 4 steps and guidance 2."""
    wish = json.dumps({"data": ["3", 7, 2, 4, 2.0]}).encode()
    request = urllib.request.Request(f"{address}/call/generate", wish, {"Content-Type": "application/json"})
    for _ in range(240):
        assert server.poll() is None, server.stdout.read()[-2000:]
        try:
            event = json.loads(open_address(request))["event_id"]
            break
        except OSError:
            time.sleep(0.5)
    text = open_address(f"{address}/call/generate/{event}").decode()
    assert "event: complete" in text, text
    (found,) = json.loads(text.split("data: ")[-1])
    return [np.asarray(Image.open(io.BytesIO(open_address(one["image"]["url"]))).convert("L")) for one in found]


def open_address(request):
    """The body that this machine answers with; no proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as answer:
        return answer.read()
