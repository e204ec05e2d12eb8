"""A run that is conditioned on a number: samples, films, edits, evaluation, exports and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import UsageError
from fromnoise.run import Run

SEEDS = range(24)


def slant_of(images: np.ndarray) -> np.ndarray:
    """mu11 / mu02 of uint8 (N, H, W, 1), with y upwards."""
    ink = images[..., 0].astype(float)
    height, width = ink.shape[1:]
    y, x = np.mgrid[height - 1 : -1 : -1, 0:width] + 0.0
    total = ink.sum((1, 2))
    dx = x - ((ink * x).sum((1, 2)) / total)[:, None, None]
    dy = y - ((ink * y).sum((1, 2)) / total)[:, None, None]
    return (ink * dx * dy).sum((1, 2)) / (ink * dy**2).sum((1, 2))


def test_samples_have_the_number_that_was_asked_for(stroke_run: Run) -> None:
    leaning = [slant_of(stroke_run.sample(seeds=SEEDS, conditions={"slant": one}).images) for one in (-0.6, 0.0, 0.6)]
    left, upright, right = (np.median(one) for one in leaning)
    assert left < -0.3 and abs(upright) < 0.2 and right > 0.3


def test_without_a_number_each_seed_draws_that_of_a_training_image(stroke_run: Run) -> None:
    samples = stroke_run.sample(seeds=range(200))
    drawn = np.array(samples.conditions["slant"])
    known = np.float32([float(row.split()[1]) for row in stroke_run.metadata["data"]["label_rows"]])
    assert np.isin(drawn.astype(np.float32), known).all() and abs(np.nanmean(drawn)) < 0.15 < np.nanstd(drawn)
    again = stroke_run.sample(seeds=[7])
    assert again.conditions["slant"] == [drawn[7]] and np.array_equal(again.images[0], samples.images[7])


def test_guidance_strengthens_the_number(stroke_run: Run) -> None:
    """At scale 0 nothing is asked for; above 1 the samples follow at least as they did."""

    def median(scale: float) -> float:
        asked = {"guidance_scale": scale, "guidance_interval": None}
        found = stroke_run.sample(seeds=range(96), conditions={"slant": 0.5}, **asked)
        return float(np.median(slant_of(found.images)))

    free, plain, strong = median(0.0), median(1.0), median(2.0)
    assert abs(free) < 0.25 and plain > free + 0.1 and strong > plain - 0.05
    asked = [{"slant": one} for one in (-0.5, 0.5)]
    samples = [stroke_run.sample(seeds=[0], conditions=one, guidance_scale=0.0).images for one in asked]
    assert np.array_equal(*samples)


def test_what_is_asked_beyond_training_is_said(stroke_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    stroke_run.sample(seeds=[0], conditions={"slant": 0.5})
    assert "slant" not in capsys.readouterr().err
    stroke_run.sample(seeds=[0], conditions={"slant": 3.0})
    said = capsys.readouterr().err
    least, most = stroke_run.spec.conditions[0].least, stroke_run.spec.conditions[0].most
    assert "slant is 3" in said and f"{least:.4g}" in said and f"{most:.4g}" in said


def test_the_command_line_samples_and_films(stroke_run: Run, tmp_path: Path) -> None:
    folder, npz, png, gif = str(stroke_run.path), tmp_path / "s.npz", tmp_path / "f.png", tmp_path / "f.gif"
    main(["sample", folder, "--num", "3", "--condition", "slant=0.5", "--out", str(npz)])
    assert np.load(npz)["slant"].tolist() == [0.5] * 3
    main(["sample", folder, "--condition", "slant=-0.5:0.5", "--num", "8", "--frames", "5", "--out", str(npz)])
    with np.load(npz) as film:
        assert film["images"].shape == (5, 8, 12, 12, 1) and film["slant"].tolist() == [-0.5, -0.25, 0, 0.25, 0.5]
        moving = [slant_of(images) for images in film["images"]]
        alone = stroke_run.sample(seeds=range(8), conditions={"slant": 0.5}).images
        assert np.array_equal(film["images"][-1], alone)
    assert np.median(moving[-1] - moving[0]) > 0.3
    for out in (png, gif):
        main(["sample", folder, "--condition", "slant=-0.5:0.5", "--num", "2", "--frames", "3", "--out", str(out)])
    with Image.open(gif) as moved, Image.open(png) as sheet:
        first = moved.convert("L").tobytes()
        assert moved.n_frames == 5 and sheet.width > sheet.height  # three values of two seeds
        moved.seek(4)
        assert moved.info["duration"] > 300 and first == moved.convert("L").tobytes()  # there and back, and a rest


def test_a_film_into_a_folder_is_refused_before_it_is_sampled(
    stroke_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Run, "film", lambda *_, **__: pytest.fail("sampled"))
    for name in ("films", "films/", "film.mp4"):
        words = ["sample", str(stroke_run.path), "--condition", "slant=-0.5:0.5", "--out", f"{tmp_path}/{name}"]
        assert main(words) == 2 and ".gif" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--condition", "slnat=0.5"], ("slnat", "slant")),
        (["--condition", "slant"], ("slant",)),
        (["--condition", "slant=x"], ("slant=x",)),
        (["--condition", "slant=nan"], ("slant", "nan")),
        (["--condition", "slant=0.1", "--condition", "slant=0.2"], ("slant",)),
        (["--condition", "slant=0:1", "--condition", "b=0:1"], ("slant", "b")),
        (["--condition", "slant=0.1", "--frames", "3"], ("--frames",)),
        (["--condition", "slant=0:1", "--frames", "1"], ("1 frames",)),
        (["--condition", "slant=0:1", "--out", "folder/"], ("folder",)),
    ],
)
def test_wrong_conditions_are_refused(
    stroke_run: Run, words: list[str], named: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = [] if "--out" in words else ["--out", str(tmp_path / "x.png")]
    assert main(["sample", str(stroke_run.path), "--num", "1", *words, *out]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in named) and not list(tmp_path.iterdir())


def test_edits_keep_an_images_own_number_unless_another_is_asked_for(stroke_run: Run) -> None:
    number = int(stroke_run.data.conditions[:, 0].nan_to_num().argmax())
    own = float(stroke_run.data.conditions[number, 0])
    kept = stroke_run.edit().img2img(number, 0.9, num=4)
    turned = stroke_run.edit().img2img(number, 0.9, num=4, conditions={"slant": -0.6})
    assert kept.facts["conditions"]["slant"] == pytest.approx([own] * 4)
    assert turned.facts["conditions"]["slant"] == pytest.approx([-0.6] * 4)
    assert np.median(slant_of(kept.images)) > np.median(slant_of(turned.images)) + 0.2
    between = stroke_run.edit().interpolate(seeds=[3, 4], num=3)
    alone = stroke_run.sample(seeds=[3])
    assert np.array_equal(between.images[0], alone.images[0])


def test_edits_with_other_numbers_have_other_names(stroke_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["edit", str(stroke_run.path), "img2img", "--image", "3", "--num", "1", "--steps", "2"]
    names = []
    for given in ([], ["--condition", "slant=-0.5"], ["--condition", "slant=0.5"]):
        assert main([*words, *given]) == 0
        names.append(Path(capsys.readouterr().out.splitlines()[-1]))
    assert len(set(names)) == 3 and all(path.is_file() for path in names)


def test_a_number_that_is_needed_and_not_known_is_asked_for(stroke_run: Run, tmp_path: Path) -> None:
    run = Run(stroke_run.path)
    plain = replace(run.settings.sample, guidance_scale=1.0)
    run.settings = replace(run.settings, objective=replace(run.settings.objective, label_dropout=0.0), sample=plain)
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(UsageError, match="--condition slant=") as caught:
        run.edit().img2img(tmp_path / "black.png", num=1)
    assert "--label" not in str(caught.value)
    assert len(run.edit().img2img(tmp_path / "black.png", num=1, conditions={"slant": 0.1}).images) == 1


def test_an_evaluation_measures_the_numbers_asked_for(stroke_run: Run) -> None:
    evaluation = stroke_run.evaluate(200)
    assert evaluation.conditions is not None
    found = evaluation.conditions["slant"]
    assert found["test"] > 0.97 and 0.8 < found["samples"] <= 1
    stored = json.loads(stroke_run.folder.evaluation.read_text())
    assert stored["conditions"] == evaluation.conditions
    assert "Conditions" in stroke_run.show().read_text()


def test_a_folder_for_diffusers_and_a_page_are_refused(stroke_run: Run, tmp_path: Path) -> None:
    for kind, place in (("diffusers", "d"), ("html", "p.html")):
        with pytest.raises(UsageError, match="slant"):
            stroke_run.export(kind, tmp_path / place)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sampler", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_onnx_takes_the_numbers_as_they_are(stroke_run: Run, tmp_path: Path, sampler: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    path = tmp_path / "m.onnx"
    stroke_run.export("onnx", path, whole_sampler=sampler)
    session = onnxruntime.InferenceSession(path)
    shapes = {one.name: one.shape for one in session.get_inputs()}
    assert shapes["label"][1:] == [2]
    if sampler:
        noise = torch.randn(16, 1, 12, 12, generator=torch.Generator().manual_seed(0)).numpy()
        fresh = np.random.default_rng(0).standard_normal((shapes["fresh"][0], *noise.shape), np.float32)
        given = {"noise": noise, "fresh": fresh}  # churn adds noise in each step
        right, left = (session.run(None, {**given, "label": np.float32([[0, one]] * 16)})[0] for one in (0.6, -0.6))
        grey = [np.clip(127.5 * (one.transpose(0, 2, 3, 1) + 1), 0, 255) for one in (right, left)]
        assert np.median(slant_of(grey[0]) - slant_of(grey[1])) > 0.3
