"""Choices beside each other: the made set, means and ranges in the page, and the two verbs on digits."""

import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def choices(benchmark_module):
    return benchmark_module("choices")


def row(choice, seed, distance, **other):
    octaves = {"spectrum": [0.5, -1.0], "spectrum_colour": [0.0, 3.0], "grain": 3.0}
    scores = {"frechet_distance": distance, "frechet_pixels": 2 * distance, "class_accuracy": 0.5, "recall": 0.5}
    about = {"data": "set", "budget": "60s", "choice": choice, "seed": seed, "shape": [8, 8, 3], "training_images": 90}
    about["processor"] = "a chip"
    counts = {"images_seen": 100 + seed, "num": 50, "nfe": 7, "ratio_to_test": None}
    return {**about, **counts, **scores, **octaves, "test": {"count": 10, **scores, **octaves}, **other}


def test_a_choice_measured_again_replaces_its_row_and_means_are_of_all_seeds(choices):
    before = [row("a", 0, 5.0), row("a", 1, 7.0), row("b", 0, 1.0)]
    rows = choices.merged(before, [row("a", 0, 9.0)])
    assert sorted(one["frechet_distance"] for one in rows) == [1.0, 7.0, 9.0]
    page = choices.page({"rows": rows})
    (mean,) = (line for line in page.splitlines() if "| mean |" in line)
    assert "**8** (7–9)" in mean and "**16** (14–18)" in mean and "+0.5, -1.0; +0.0, +3.0" in mean
    other = choices.page({"rows": [*rows, row("a", 0, 2.0, budget="300s")]})
    assert other.count("\n## ") == 2 and page.count("\n## ") == 1


def test_the_made_set_has_transparency_and_is_always_the_same(choices, tmp_path):
    with np.load(choices.made_rgba(tmp_path / "a.npz")) as one, np.load(choices.made_rgba(tmp_path / "b.npz")) as two:
        images = one["images"]
        assert images.shape == (choices.MADE, 32, 32, 4) and (images == two["images"]).all()
        opaque = images[..., 3] > 0
        assert 0.1 < opaque.mean() < 0.6 and images[~opaque].mean() < 1
        assert np.bincount(one["labels"]).tolist() == [choices.MADE // 4] * 4


def test_runs_are_trained_once_and_scored(choices, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(choices, "RESULTS", tmp_path)
    work = ["--work", str(tmp_path / "runs")]
    training = ["train", "--data", "digits", "--recipe", "default-tiny", "--images", "640", "--seeds", "0"]
    for _ in range(2):
        monkeypatch.setattr("sys.argv", ["choices.py", *training, *work, "", "objective.prediction=edm"])
        choices.main()
    monkeypatch.setattr("sys.argv", ["choices.py", "score", *work, "--num", "40"])
    choices.main()
    first, second = json.loads((tmp_path / "choices.json").read_text())["rows"]
    assert {first["choice"], second["choice"]} == {
        "recipe=default-tiny",
        "recipe=default-tiny,objective.prediction=edm",
    }
    assert first["images_seen"] == second["images_seen"] >= 640 and first["num"] == 40
    assert "digits, 16x16, 1 channel" in (tmp_path / "choices.md").read_text()
