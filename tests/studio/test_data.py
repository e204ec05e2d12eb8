"""The images of a run: described as the command line describes them, and shown."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fromnoise.cli import main
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid


@pytest.fixture
def place(client):
    """The address of the one run's images."""
    return f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/data"


def test_the_numbers_are_those_of_inspect(client, place, capsys, tiny_run):
    assert main(["data", "inspect", "digits", "--json"]) == 0
    found, inspected = client.get(place).json(), json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in inspected} == inspected
    assert found["training"] == [len(tiny_run.data), *tiny_run.data.label_counts.tolist()]
    assert found["validation"] == len(tiny_run.held_out)


def test_a_page_shows_the_images_of_a_class(client, place, tiny_run):
    data = tiny_run.data
    threes = data.images[data.labels == 3].permute(0, 2, 3, 1).numpy()
    for page in (0, 1):
        shown = client.get(f"{place}/images", params={"label": 3, "page": page})
        assert shown.content == png_bytes(grid(threes[page * 48 : (page + 1) * 48]))
    first = client.get(f"{place}/images").content
    assert first == png_bytes(grid(data.images[:48].permute(0, 2, 3, 1).numpy()))


@pytest.mark.parametrize("query", ["page=100000", "label=10", "label=x", "page=nan"])
def test_pages_that_are_not_there(client, place, query):
    assert client.get(f"{place}/images?{query}").status_code == 400


def test_images_that_are_gone_are_an_error(client_of, tmp_path, tiny_settings):
    from fromnoise.run import Run

    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    Run.create(
        tmp_path / "images",
        output_dir=tmp_path / "runs" / "run",
        settings={**tiny_settings, "train.train_batch_size": 8},
    )
    client = client_of(tmp_path / "runs")
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/data"
    found = client.get(place).json()
    assert found["classes"] == {} and [one["text"] for one in found["remarks"]] == found["notes"]
    assert found["remarks"][0]["kind"] == "held out" and found["remarks"][0]["values"] == {"count": 4, "of": 40}
    assert Image.open(io.BytesIO(client.get(f"{place}/images").content)).format == "PNG"
    shutil.rmtree(tmp_path / "images")
    answer = client_of(tmp_path / "runs").get(place)
    assert answer.status_code == 409 and "images" in answer.json()["error"]


def test_classes_come_in_the_order_of_their_labels(client_of, tmp_path, tiny_settings):
    """An object would put the key "1" before "-1"."""
    from fromnoise.run import Run

    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "signs.npz", images=pixels, labels=np.array(["-1", "1"])[np.arange(40) % 2])
    settings = {**tiny_settings, "train.train_batch_size": 8}
    run = Run.create(tmp_path / "signs.npz", output_dir=tmp_path / "runs" / "run", settings=settings)
    client = client_of(tmp_path / "runs")
    found = client.get(f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/data").json()
    assert found["class_names"] == list(run.spec.classes) == ["-1", "1"]
