"""`--weights`: the average, the raw ones, or an average of another length, as people type it."""

import json

import numpy as np
import pytest

from fromnoise.cli import main

TINY = ["--set", "net.width=8", "--set", "net.depth=1", "--set", "train.train_batch_size=8", "--previews", "0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "run"
    assert main(["train", "digits", *TINY, "--num_images", "2400", "--output_dir", str(path)]) == 0
    return path


def made(run, weights, tmp_path):
    out = tmp_path / f"{weights.replace(':', '-')}.npz"
    assert main(["sample", str(run), "--num", "2", "--steps", "2", "--weights", weights, "--out", str(out)]) == 0
    with np.load(out) as file:
        return file["images"]


def test_another_length_makes_other_pictures(run, tmp_path, capsys):
    names = sorted(int(path.stem) for path in (run / "averages").glob("*.safetensors"))
    assert names == [32, 64, 96, 128, 160, 192, 224, 256, 288]
    pictures = {weights: made(run, weights, tmp_path) for weights in ("ema", "raw", "ema:0.1", "ema:0.2")}
    assert (pictures["ema"] == pictures["ema:0.1"]).all()
    assert (pictures["ema"] != pictures["ema:0.2"]).any() and (pictures["raw"] != pictures["ema:0.2"]).any()
    words = ["evaluate", str(run), "--num", "40", "--steps", "2", "--weights", "ema:0.2", "--json", str(tmp_path / "j")]
    assert main(words) == 0
    assert json.loads((tmp_path / "j").read_text())["protocol"]["sampling"]["weights"] == "ema:0.2"
    assert main(["evaluate", str(run), "--num", "40", "--sweep", "weights=ema:0.05,ema:0.2"]) == 0
    assert "ema:0.2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "named"),
    [("emma", ["emma", "ema, raw or ema:"]), ("ema:0.5", ["0.5", "0.01 to 0.28"]), ("ema:long", ["long", "ema:0.15"])],
)
def test_what_is_no_choice_is_refused(run, weights, named, capsys):
    assert main(["sample", str(run), "--num", "1", "--weights", weights]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in named), err


def test_a_run_that_kept_none_says_so(tmp_path, capsys):
    words = ["train", "digits", *TINY, "--num_images", "64", "--no_posthoc_ema", "--output_dir", str(tmp_path / "r")]
    assert main(words) == 0 and not (tmp_path / "r" / "averages").exists()
    assert main(["sample", str(tmp_path / "r"), "--num", "1", "--weights", "ema:0.2"]) == 2
    err = capsys.readouterr().err
    assert "ema or raw" in err and "0.01 to 0.28" not in err
