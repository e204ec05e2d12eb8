"""Few training images, or copies of one: what can be said is said, and the least number is named before any work."""

import json

import numpy as np
import pytest

from fromnoise.cli import main
from fromnoise.common.errors import DataError, UsageError
from fromnoise.evaluation.evaluate import EvaluationSpec
from fromnoise.run import Run

PIXELS = EvaluationSpec("pixels")
SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 300,
    "train.previews": 0,
    "train.posthoc_ema": False,
    "sample.steps": 2,
}


def trained(tmp_path, images, name="run", **settings):
    np.savez(tmp_path / "few.npz", images=images)
    return Run.create(str(tmp_path / "few.npz"), output_dir=tmp_path / name, settings=SETTINGS | settings).train()


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_few_images_are_trained_on_drawn_and_diagnosed_but_not_measured(tmp_path, count):
    run = trained(tmp_path, noise(count))
    assert run.show().exists()
    names = {finding.name for finding in run.diagnose().findings}
    assert {"samples" if count < 4 else "steps", "near-duplicates", "colour"} <= names
    for measure in (lambda: run.evaluate(10, spec=PIXELS), lambda: run.sweep({"steps": [1]}, 10, features="pixels")):
        with pytest.raises(DataError, match=rf"\b{count}\b.*\b10\b"):
            measure()
    assert not run.folder.evaluation.exists() and not run.folder.sweep.exists()
    with pytest.raises(DataError, match=r"\b10\b.*--evaluate_every"):
        trained(tmp_path, noise(count), "scored", **{"train.evaluate_every": 100})


@pytest.mark.parametrize("count, num", [(10, 10), (11, 13), (12, 15), (12, 10)])
def test_ten_images_and_ten_samples_are_enough_to_measure(tmp_path, count, num):
    run = trained(tmp_path, noise(count))
    found = run.evaluate(num, spec=PIXELS, extended=True)
    assert found.metrics.count == num and json.loads(run.folder.evaluation.read_text())
    assert (found.reference_rows["train_halves"] is None) == (count < 12), "each half has to have 6"
    with pytest.raises(UsageError, match=r"\b9\b.*\b10\b"):
        run.evaluate(9)


def test_copies_of_one_image(tmp_path):
    run = trained(tmp_path, np.repeat(noise(1), 100, axis=0))
    found = {finding.name: finding for finding in run.diagnose().findings}
    assert found["repeated images"].numbers["different_images"] == 1
    assert found["near-duplicates"].level == "error"
    assert run.evaluate(10, spec=PIXELS).ratio_to_test is None, "the distance of copies to copies is none to divide by"


@pytest.mark.parametrize("flipped", [True, False])
def test_mirrored_copies_count_where_mirrored_images_were_trained_on(tmp_path, monkeypatch, flipped):
    run = trained(tmp_path, noise(40), **{"data.random_flip": flipped})
    copied = run.data.images[:12].flip(3).permute(0, 2, 3, 1).numpy()

    def copies(model, seeds, labels):
        from fromnoise.model.samples import Samples

        return Samples(copied, list(seeds), None, evaluations=1)

    monkeypatch.setattr("fromnoise.model.trained_model.TrainedModel.sample_labelled", copies)
    evaluation = run.evaluate(12, spec=PIXELS)
    assert (evaluation.metrics.copy_rate == 1) if flipped else (evaluation.metrics.copy_rate < 0.3)
    assert evaluation.protocol["measure"].get("mirrored_copies", False) == flipped


@pytest.mark.parametrize("count", [5, 12])
def test_too_few_to_measure_is_said_when_training_begins(tmp_path, capsys, count):
    np.savez(tmp_path / "few.npz", images=noise(count))
    words = ["--num_images", "4", "--train_batch_size", "2", "--set", "net.width=8", "--previews", "0"]
    assert main(["train", str(tmp_path / "few.npz"), *words, "--output_dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out.partition("starting from")[0]
    assert ("fromnoise evaluate" in said) == (count < 10)


@pytest.mark.parametrize("count, enough", [(2, False), (30, True)])
def test_held_out_images_are_advised_where_some_would_be(tmp_path, count, enough):
    run = trained(tmp_path, noise(count), **{"data.holdout": 0.0})
    (said,) = [finding.message for finding in run.diagnose().findings if finding.name == "overfitting"]
    assert ("--holdout 0.1" in said) == enough and ("at least 20" in said) != enough
