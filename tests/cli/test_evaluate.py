"""`fromnoise evaluate` and `fromnoise compare` as people type them."""

import json
from pathlib import Path

import numpy as np
import pytest

from fromnoise.cli import main
from fromnoise.common.errors import DataError
from fromnoise.evaluation.summary import MEASURES

TINY = ["--set", "net.width=8", "--set", "net.depth=1", "--num_images", "128", "--previews", "0"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate") / "run"
    assert main(["train", "digits", *TINY, "--output_dir", str(path)]) == 0
    return str(path)


def test_evaluate_prints_the_rows_and_where_the_report_lies(run, capsys):
    assert main(["evaluate", run, "--num", "50", "--steps", "2", "--json", "there.json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["samples", "test", "train", "halves", "noise"] and out[-1] == f"{run}/report.html"
    assert any(line.startswith(MEASURES["frechet_distance"]) for line in out)
    assert any(line.startswith("note: ") for line in out)
    (protocol,) = (line for line in out if line.startswith("protocol: "))
    assert all(value in protocol for value in ("50 ", "digits (train, 1,500)", "churn 3, 2 steps", "seeds 0 to 49"))
    content = json.loads(Path("there.json").read_text())
    assert content["metrics"]["count"] == 50 and content["protocol"]["sampling"]["steps"] == 2
    assert main(["compare", run, run, "--out", "both.html", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["runs"]
    assert [one["evaluation"] for one in compared] == [content, content] and "network" in compared[0]["facts"]
    assert main(["compare", run, run, "--out", "both.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "both.html"


def test_json_on_standard_output_is_nothing_but_json(run, capsys):
    assert main(["evaluate", run, "--num", "40", "--steps", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 2


def test_a_sweep_prints_its_table(run, capsys):
    assert main(["evaluate", run, "--num", "40", "--sweep", "steps=2,3", "guidance_scale=1,2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["steps", "guidance_scale", "NFE"] and len(out) == 7


def test_images_in_a_file_against_data(run, capsys):
    assert main(["sample", run, "--num", "40", "--steps", "2", "--out", "made.npz"]) == 0
    assert main(["evaluate", "--samples", "made.npz", "--reference", "digits"]) == 0
    assert MEASURES["class_accuracy"] in capsys.readouterr().out
    assert main(["evaluate", "--samples", "made.npz", "--reference", "digits", "--output_dir", "there"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "there/report.html"


def test_a_sweep_takes_the_weights_of_its_features(run, monkeypatch):
    given = []

    def noted(train, *space):
        given.append(space)
        raise DataError("that is enough")

    monkeypatch.setattr("fromnoise.evaluation.sweep.build_reference", noted)
    words = ["--sweep", "steps=2", "--features", "inception", "--feature_weights", "w.pth"]
    assert main(["evaluate", run, *words]) == 3 and given == [("inception", "w.pth")]


def test_the_old_spelling_of_extended_measures_works(run, capsys):
    assert main(["evaluate", run, "--num", "60", "--steps", "2", "--deep"]) == 0
    out = capsys.readouterr().out
    assert "bits per dimension" in out


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ([], 2, ["RUN"]),
        (["{run}", "--num", "0"], 2, ["--num", "0"]),
        (["{run}", "--features", "pixle"], 2, ["'pixle'", "'pixels'"]),
        (["{run}", "--sweep", "steps"], 2, ["--sweep", "steps"]),
        (["{run}", "--sweep", "steps=2", "--extended"], 2, ["--extended"]),
        (["{run}", "--sweep", "steps=2", "--steps", "3"], 2, ["--sweep", "--steps"]),
        (["{run}", "--sweep", "weights=ema", "--weights", "raw"], 2, ["--sweep", "--weights"]),
        (["--samples", "x.npz", "--reference", "digits", "--device", "cpu"], 2, ["--device"]),
        (["{run}", "--reference", "digits"], 2, ["--reference", "--samples"]),
        (["--samples", "x.npz"], 2, ["--samples", "--reference"]),
        (["--samples", "x.npz", "--reference", "digits", "--steps", "3"], 2, ["--samples", "RUN"]),
        (["--samples", "x.npz", "--reference", "digits"], 3, ["x.npz"]),
        (["--samples", "x.npz", "--reference", "digits", "--output_dir", "file"], 6, ["file"]),
        (["--samples", "rgb.npz", "--reference", "digits"], 3, ["colour", "data.channels=3"]),
        (["{run}", "--num", "9"], 2, ["9", "at least 10"]),
        (["{run}", "--feature_weights", "x.pth"], 2, ["--feature_weights", "--features"]),
        (["{run}", "--json", "."], 6, ["."]),
        (["{run}", "--num", "19", "--statistics", "broken.npz"], 3, ["broken.npz"]),
        (["nothing"], 4, ["nothing"]),
        (["{run}", "--checkpoint", "7"], 4, ["'7'", "128"]),
    ],
)
def test_mistakes(run, words, code, named, capsys):
    colours = np.zeros((30, 16, 16, 3), dtype=np.uint8)
    colours[..., 0] = 200
    np.savez("rgb.npz", images=colours)
    np.savez("broken.npz", mu=np.zeros(3))
    Path("file").touch()
    assert main(["evaluate", *(word.replace("{run}", run) for word in words)]) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("fromnoise: ") and all(name in error for name in named), error


def test_mistakes_in_comparing(run, capsys):
    assert main(["compare", run]) == 2 and "at least 2" in capsys.readouterr().err
    assert main(["compare", run, run, "--out", "page.png"]) == 2 and ".html" in capsys.readouterr().err
