"""The card of a run: a header that the Hub reads, facts, measures, and no path of the machine it was made on."""

from __future__ import annotations

import pytest

from fromnoise.report.model_card import CardContents, model_card
from fromnoise.run import Run
from fromnoise.run.facts import facts


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    small = {"net.width": 8, "net.depth": 1, "train.num_images": 320, "train.validations": 0, "train.previews": 1}
    return Run.create("digits", output_dir=tmp_path_factory.mktemp("runs") / "digits", settings=small).train()


def test_training_leaves_a_card(run):
    card = (run.path / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n") and "digits, default" in card
    assert "![samples](samples/preview-00000320.png)" in card and (run.path / "samples/preview-00000320.png").is_file()
    assert "fromnoise sample digits" in card and "Not measured" in card
    assert str(run.path.parent) not in card


def test_the_card_of_an_export_has_its_own_sampling(run, tmp_path):
    run.export("onnx", tmp_path / "whole.onnx", whole_sampler=True, sampler="heun", steps=3, guidance_scale=1.0)
    run.export("onnx", tmp_path / "alone.onnx")
    assert "| sampling | heun, 3 steps" in (tmp_path / "whole.onnx.md").read_text()
    own = next(line for line in (run.path / "README.md").read_text().splitlines() if line.startswith("| sampling"))
    assert own in (tmp_path / "alone.onnx.md").read_text()


def test_the_device_is_that_of_the_training(run):
    assert dict(facts(run))["device"].startswith("cpu")
    elsewhere = Run(run.path)
    elsewhere.metadata["context"]["device"] = "cuda"
    rows = dict(facts(elsewhere))
    assert rows["device"] == "cuda" and "precision" not in rows
    elsewhere.metadata["context"] = {}
    assert "device" not in dict(facts(elsewhere))


def test_measures_come_in_when_they_are_there(run):
    run.evaluate(64)
    card = (run.path / "README.md").read_text()
    assert "Not measured" not in card and "copies of training images" in card and "| test" in card


def test_a_damaged_evaluation_is_left_out_and_said(run, capsys):
    whole = (run.path / "evaluation.json").read_bytes()
    (run.path / "evaluation.json").write_bytes(whole[:-40])
    run.train()
    (run.path / "evaluation.json").write_bytes(whole)
    assert "Not measured" in (run.path / "README.md").read_text() and "evaluation.json" in capsys.readouterr().err


def test_names_are_text_and_stay_in_their_cell():
    card = model_card(CardContents("a|b\n<img>", [("x|y", "line\nbreak")], "usage", licence="mit", loader="diffusers"))
    assert "license: mit\nlibrary_name: diffusers\n" in card
    assert model_card(CardContents("\x1b[31m\udcff", [], "usage")).encode().count(b"\x1b") == 0
    assert "# a\\|b \\<img\\>" in card and "| x\\|y | line break |" in card
