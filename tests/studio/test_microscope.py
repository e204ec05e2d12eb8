"""The microscope: its numbers are those of the process, the network and the images."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import DataError
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.metrics.nearest_neighbours import nearest
from fromnoise.run import Run
from fromnoise.studio.run_data import RunData

SLIDE = {"source": "training", "number": 7, "pixels": "", "part": 0.5, "seed": 3, "neighbours": True}


@pytest.fixture
def slide(how):
    """A training image under noise, to be looked at."""
    return {**how, **SLIDE}


def opened(text):
    return np.asarray(Image.open(io.BytesIO(b64decode(text))))


def test_what_is_seen_is_what_the_network_predicts(ask, slide, tiny_run):
    found, model, data = ask("look", slide).json(), tiny_run.model(), tiny_run.data
    spec, process = model.spec, model.process
    t = torch.tensor([process.t_min + 0.5 * (process.t_max - process.t_min)], dtype=torch.float64)
    x0, eps = spec.encode(data.images[7:8]), start_noise(process, spec.shape, [3])
    noisy = process.corrupt(x0, eps, t)
    with torch.inference_mode():
        estimate = model.denoiser(noisy, t, data.labels[7:8])
    for name, x in (("image", x0), ("noisy", noisy), ("prediction", estimate.x0)):
        assert (opened(found["images"][name]) == spec.decode(x)[0, 0].numpy()).all(), name
    rms = float((estimate.x0 - x0).square().mean().sqrt()) * 255 / (spec.high - spec.low)
    assert found["errors"]["prediction"] == pytest.approx(rms)
    noise = float((estimate.eps - eps).square().mean().sqrt())
    assert found["errors"]["predicted_noise"] == pytest.approx(noise)
    alpha, sigma = process.scales(t)
    assert (found["t"], found["alpha"], found["sigma"]) == (float(t), float(alpha), float(sigma))
    distances, places = nearest(spec.decode(estimate.x0), data, 6)
    assert [one["number"] for one in found["nearest"]] == places[0].tolist()
    assert [one["distance"] for one in found["nearest"]] == pytest.approx(distances[0].tolist())
    mean = data.images.double().mean(0)[0].numpy()
    assert np.abs(opened(found["images"]["average"]) - mean).max() <= 0.51
    again = ask("look", slide).json()
    assert (again["images"], again["errors"]) == (found["images"], found["errors"]), "looking changes nothing"


def test_where_noise_is_added_half_of_it_is_as_much_as_the_image(client_of, slide, how, tiny_settings, tmp_path):
    """On VE t reaches 80, and x with it: the middle of the slider is not noise alone, and no x is black and white."""
    settings = {**tiny_settings, "train.num_images": 64, "process.kind": "ve", "sample.guidance_scale": 1.0}
    Run.create("digits", output_dir=tmp_path / "run", settings=settings).train()
    client, headers = client_of(tmp_path, known=True), {"origin": "http://127.0.0.1:8420"}
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    found = client.post(f"{place}/look", json=slide, headers=headers).json()
    assert (found["alpha"], found["sigma"]) == pytest.approx((1, 1))
    walked = {**how, "seed": 0, "samplers": ["ddim"]}
    (walk,) = client.post(f"{place}/walk", json=walked, headers=headers).json()["walks"]
    film = client.post(f"{place}/sample", json={**how, "first": 0, "num": 1, "film": True}, headers=headers).json()
    for shown in (found["images"]["noisy"], walk["frames"][0]["x"], film["frames"][0]):
        assert np.isin(opened(shown), (0, 255)).mean() < 0.6


def test_a_drawn_image_is_seen_where_the_training_images_are_gone(ask, slide, tiny_run, monkeypatch):
    def gone(self, folder):
        raise DataError("they are gone")

    size = tiny_run.data.spec.height * tiny_run.data.spec.width
    pixels = b64encode(bytes(size)).decode()
    monkeypatch.setattr(RunData, "run", gone)
    found = ask("look", {**slide, "source": "drawn", "pixels": pixels})
    assert found.status_code == 200 and found.json()["nearest"] == []


def test_it_says_how_many_images_there_are_to_choose_from(ask, slide, tiny_run):
    drawn = {"source": "drawn", "pixels": b64encode(bytes(16 * 16)).decode()}
    changes = ({}, {"source": "validation"}, drawn)
    counts = [ask("look", {**slide, "neighbours": False, **one}).json()["count"] for one in changes]
    assert counts == [len(tiny_run.data), len(tiny_run.held_out), 0]


def test_validation_and_drawn_images(ask, slide, tiny_run):
    held = ask("look", {**slide, "source": "validation", "number": 2, "neighbours": False}).json()
    assert (opened(held["images"]["image"]) == tiny_run.held_out.images[2, 0].numpy()).all() and held["nearest"] == []
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
    body = {**slide, "source": "drawn", "pixels": b64encode(pixels.tobytes()).decode(), "label": ["4"]}
    drawn = ask("look", body).json()
    assert (opened(drawn["images"]["image"]) == pixels[..., 0]).all() and drawn["label"] == "4"
    assert ask("look", {**body, "label": []}).json()["label"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 10**6},
        {"number": -1},
        {"part": 0},
        {"part": 1.01},
        {"source": "/etc/passwd"},
        {"source": "drawn", "pixels": ""},
        {"source": "drawn", "pixels": "AAAA"},
        {"source": "drawn", "pixels": "not base64 é"},
        {"source": "drawn", "pixels": "A" * 60_000},
        {"seed": -1},
        {"label": ["no such class"]},
    ],
)
def test_a_slide_that_cannot_be_is_refused(ask, slide, changes):
    answer = ask("look", {**slide, **changes})
    assert answer.status_code == 400 and answer.json()["error"]


def test_two_samplers_walk_from_the_same_noise(ask, how, tiny_run):
    found = ask("walk", {**how, "seed": 5, "samplers": ["euler", "heun"]}).json()
    first, second = found["walks"]
    assert (first["sampler"], second["sampler"]) == ("euler", "heun") and len(first["frames"]) == 4
    assert first["frames"][0]["x"] == second["frames"][0]["x"] and first["frames"][-1] != second["frames"][-1]
    for walk in (first, second):
        sample = tiny_run.sample(seeds=[5], sampler=walk["sampler"], grid="auto", steps=3, guidance_scale=1.0)
        assert (opened(walk["frames"][-1]["x"]) == sample.images[0, ..., 0]).all()
        assert walk["frames"][-1]["t"] == 0 and walk["evaluations"] == sample.evaluations


@pytest.mark.parametrize("changes", [{"samplers": []}, {"samplers": ["euler"] * 3}, {"samplers": [1]}, {"steps": 61}])
def test_a_walk_that_cannot_be_is_refused(ask, how, changes):
    assert ask("walk", {**how, "seed": 5, "samplers": ["euler"], **changes}).status_code == 400
