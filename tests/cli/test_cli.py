"""The command line as people type it: what works, and one sentence with the right exit code for what does not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.cli import main
from fromnoise.cli.flags import parse_seeds
from fromnoise.common.errors import UsageError
from fromnoise.diffusion.samplers import SAMPLERS

TINY = ["--set", "net.width=8", "--set", "net.depth=1", "--num_images", "128", "--previews", "1"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "digits", *TINY, "--output_dir", str(path)]) == 0
    return str(path)


def test_train_says_what_it_does_and_where_the_run_lies(capsys, tmp_path):
    assert main(["train", "digits", *TINY]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == str(Path("runs") / "digits-default-s0") and (tmp_path / out[-1] / "config.json").exists()
    assert any(line.startswith("precision: ") and "(" in line for line in out)
    assert main(["train", "digits", *TINY]) == 0
    assert "finished" in capsys.readouterr().out


def test_what_is_said_of_the_images_is_how_they_are_read_now(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))  # a store would be read by every later test
    for store, on_disk in (("always", True), ("never", False)):
        assert main(["train", "digits", *TINY, "--output_dir", "r", "--set", f"data.store={store}"]) == 0
        assert ("lie on the disk" in capsys.readouterr().out) == on_disk


def test_a_budget_that_is_over_at_once_is_said_and_another_time_limit_is_not(capsys):
    words = ["train", "digits", "--set", "net.width=8", "--output_dir"]
    assert main([*words, "short", "--budget", "0.01s"]) == 2
    assert "short" in capsys.readouterr().err
    assert main([*words, "long", "--budget", "1h", "--max_time", "0.01s"]) == 75, "to be gone on with"


def test_dashes_and_underscores_are_the_same(capsys, tmp_path):
    words = ["--num-images", "64", "--train-batch-size=32", "--lr", "1e-3", "--no_use_ema", "--output-dir", "there"]
    assert main(["train", "digits", "--set", "net.width=8", *words]) == 0
    config = json.loads((tmp_path / "there" / "config.json").read_text())["settings"]
    assert config["train"]["train_batch_size"] == 32 and config["train"]["use_ema"] is False
    assert not list((tmp_path / "there").rglob("ema.safetensors"))


def test_sample(run, capsys, tmp_path):
    assert main(["sample", run, "--seeds", "0-2,9", "--steps", "2", "--label", "3", "--out", "s.npz"]) == 0
    assert capsys.readouterr().out.strip() == "s.npz"
    with np.load("s.npz") as arrays:
        assert arrays["seeds"].tolist() == [0, 1, 2, 9] and arrays["labels"].tolist() == [3] * 4
        assert arrays["images"].shape == (4, 16, 16, 1)
    for sampler in ("euler", "heun", "dpmpp_2m", "ddpm"):
        assert main(["sample", run, "--num", "2", "--steps", "2", "--sampler", sampler, "--out", f"{sampler}.png"]) == 0
    assert main(["sample", run, "--num", "1", "--steps", "2", "--guidance_scale", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("samples-0.png")


def test_samplers_are_listed_without_a_run(capsys):
    assert main(["sample", "--list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert set(SAMPLERS) <= set(lines)
    assert "biased" in lines["renoise"] and " yes " in lines["ddpm"] and lines["heun"].split()[1:4] == ["2.0"] * 3
    assert main(["sample"]) == 2 and "RUN" in capsys.readouterr().err


def test_a_trajectory_is_drawn_as_strip_film_and_steps(run, capsys):
    assert main(["show", run, "--trajectory", "--seeds", "0,4", "--steps", "6", "--sampler", "heun"]) == 0
    strip, film, steps = (Image.open(line) for line in capsys.readouterr().out.splitlines())
    assert film.n_frames == 6 and film.format == "GIF" and strip.size[0] > 500
    assert Path(strip.filename).name == "trajectory-strip.png"  # the report has a trajectory.png of its own
    assert steps.size[1] < strip.size[1], "every step at its own size, six rows of 16 pixels"


def test_samplers_are_compared_from_the_same_noise(run, capsys):
    words = ["show", run, "--compare", "euler,heun", "--steps", "4,16", "--seeds", "0-2", "--guidance_scale", "1"]
    assert main(words) == 0
    *lines, path = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "euler, 4 steps (NFE 4)",
        "euler, 16 steps (NFE 16)",
        "heun, 4 steps (NFE 7)",
        "heun, 16 steps (NFE 31)",
    ]
    errors = [float(line.rpartition(" ")[2]) for line in lines]
    assert errors[0] > errors[1] and errors[2] > errors[3] and Image.open(path).size[0] > 300


@pytest.mark.parametrize(
    "words, named",
    [
        (["--trajectory", "--compare", "heun"], ["--trajectory", "--compare"]),
        (["--steps", "5"], ["--trajectory", "--compare"]),
        (["--compare", "ddpm"], ["'ddpm'"]),
        (["--compare", "huen"], ["'huen'", "'heun'"]),
        (["--compare", "heun", "--steps", "5,0"], ["at least 1"]),
        (["--trajectory", "--steps", "5,10"], ["5,10"]),
        (["--trajectory", "--steps", "many"], ["many", "5,10,20"]),
        (["--trajectory", "--label", "x"], ["'x'"]),
        (["--weights", "raw"], ["--trajectory", "--compare"]),
        (["--compare", "heun", "--grid", "1,0.5,0"], ["1,0.5,0"]),
        (["--compare", "heun", "--sampler", "ddim"], ["--sampler", "--compare"]),
        (["--compare", "dpmpp_2m", "--churn", "3"], ["--churn", "--compare"]),
        (["--compare", "ddim,heun", "--eta", "0"], ["--eta", "--compare"]),
    ],
)
def test_mistakes_in_showing(run, capsys, words, named):
    before = sorted(Path(run).rglob("*"))
    assert main(["show", run, *words]) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in named), err
    assert sorted(Path(run).rglob("*")) == before


def test_a_path_that_is_no_text_is_refused_before_the_work(tmp_path, capsys):
    place = os.fsdecode(bytes(tmp_path) + b"/pictures\xff")
    assert main(["train", place, "--output_dir", str(tmp_path / "run")]) == 2
    assert "not valid UTF-8" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_data_verbs(capsys, tmp_path):
    assert main(["data", "list"]) == 0
    lines = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert {"digits", "mnist", "fashion_mnist", "kmnist", "cifar10"} <= lines
    assert main(["data", "list", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["digits"]["at_hand"] and listed["digits"]["counts"] == {"train": 1500, "test": 297}
    assert main(["data", "inspect", "digits", "--out", "d.png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("digits: 1,500 images, 16x16 grey, 10 classes\n") and "train 1,500, test 297" in said
    assert "0..255" in said and Image.open("d.png").size[0] > 500
    assert main(["data", "inspect", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"train": 1500, "test": 297}
    assert main(["data", "inspect", "digits", "--json", "d.json", "--out", "e.png"]) == 0
    assert Path("e.png").is_file()
    assert json.loads(Path("d.json").read_text())["counts"] == {"train": 1500, "test": 297}


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert "torch" in {fact["name"] for fact in json.loads(capsys.readouterr().out)}


def test_seeds():
    assert parse_seeds("0-3,9") == [0, 1, 2, 3, 9]
    for text in ("0-99999999999", str(2**63)):
        with pytest.raises(UsageError, match=f"'{text}'"):
            parse_seeds(text)
    for text in ("", "3-1", "a", "1,,2", "-4"):
        with pytest.raises(UsageError, match=f"'{text}'"):
            parse_seeds(text)


def folder(path, **files):
    path.mkdir()
    for name, content in files.items():
        if isinstance(content, bytes):
            (path / name.replace("_", ".")).write_bytes(content)
        else:
            Image.fromarray(content).save(path / name.replace("_", "."))
    return str(path)


PICTURE = np.zeros((9, 9, 3), np.uint8)


@pytest.mark.parametrize(
    "words, code, named",
    [
        (["trian"], 2, ["'trian'", "'train'"]),
        ([], 2, ["fromnoise train digits"]),
        (["train"], 2, ["DATA"]),
        (["train", "mnits"], 2, ["'mnits'", "'mnist'"]),
        (["train", "digits", "--recipe", "defalt"], 2, ["'defalt'", "'default'"]),
        (["train", "digits", "--learnin_rate", "1"], 2, ["--learnin_rate", "--learning_rate"]),
        (["train", "digits", "--learning_rate", "fast"], 2, ["learning_rate", "fast", "float"]),
        (["train", "digits", "--learning_rate", "nan"], 2, ["learning_rate", "nan", "finite"]),
        (["train", "digits", "--learning_rate=-1"], 2, ["learning_rate", "-1", "0"]),
        (["train", "digits", "--train_batch_size", "2000"], 2, ["2000", "1500"]),
        (["train", "digits", "--budget", "soon"], 2, ["'soon'", "90s, 3m or 1.5h"]),
        (["train", "digits", "--set", "net.wdth=3"], 2, ["'net.wdth'", "'net.width'"]),
        (["train", "digits", "--set", "net.width"], 2, ["--set section.name=value"]),
        (["train", "digits", "--config", "none.toml"], 2, ["none.toml"]),
        (["train", "digits", "--mixed_precision", "fp8"], 2, ["fp8", "auto, no, bf16"]),
        (["train", "digits", "--device", "tpu"], 2, ["tpu", "auto, cpu, cuda or mps"]),
        (["train", "digits", "--resolution", "big"], 2, ["big"]),
        (["train", "./missing"], 3, ["missing"]),
        (["train", "empty"], 3, ["empty"]),
        (["train", "one"], 3, ["at least 2"]),
        (["train", "broken"], 3, ["text.png"]),
        (["train", "digits", "--output_dir", "file/run"], 6, ["file", "--output_dir"]),
        (["sample", "empty"], 4, ["empty"]),
        (["sample", "nowhere"], 4, ["nowhere"]),
        (["show", "empty"], 4, ["empty"]),
        (["data", "fetch", "minst"], 2, ["'minst'", "'mnist'"]),
        (["data", "fetch", "kmnist"], 3, ["kmnist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_sentence_and_leave_nothing(tmp_path, capsys, words, code, named):
    folder(tmp_path / "empty")
    folder(tmp_path / "one", a_png=PICTURE)
    folder(tmp_path / "broken", a_png=PICTURE, b_png=PICTURE, text_png=b"no picture")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == code
    err = capsys.readouterr().err
    assert all(name in err for name in named), err
    assert "Traceback" not in err and err.startswith("fromnoise: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words, code, named",
    [
        (["--num", "0"], 2, ["--num", "at least 1"]),
        (["--num", "x"], 2, ["--num"]),
        (["--seeds", "9-3"], 2, ["'9-3'"]),
        (["--num", "3", "--seeds", "1"], 2, ["--num", "--seeds"]),
        (["--steps", "0"], 2, ["steps", "0", "1"]),
        (["--sampler", "dimm"], 2, ["'dimm'", "'ddim'"]),
        (["--grid", "trailing"], 2, ["'trailing'", "'vp'"]),
        (["--grid", "karas"], 2, ["'karas'", "'karras'"]),
        (["--grid", "1,0.2,0.6,0"], 2, ["1, 0.2, 0.6, 0"]),
        (["--sampler", "heun", "--eta", "0.5"], 2, ["eta", "'heun'", "'ddim'"]),
        (["--guidance_interval", "[0.8,0.2]"], 2, ["guidance_interval", "0.8"]),
        (["--guidance_interval", "2,3"], 2, ["guidance_interval", "2", "3"]),
        (["--steps", "-3"], 2, ["steps", "-3", "1"]),
        (["--autoguidance", "2"], 2, ["autoguidance_scale", "guide_checkpoint"]),
        (["--autoguidance", "2", "--weaker", "7"], 4, ["'7'", "last, best or one of 128"]),
        (["--label", "ten"], 2, ["'ten'"]),
        (["--label", "10"], 2, ["'10'"]),
        (["--out", "s.jpeg"], 2, [".jpeg"]),
        (["--out", "file/s.png"], 6, ["file"]),
        (["--checkpoint", "5"], 4, ["'5'", "last, best or one of 128"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_in_sampling(run, tmp_path, capsys, words, code, named):
    (tmp_path / "file").write_text("")
    quick = [] if "--steps" in words else ["--steps", "1"]
    many = [] if {"--num", "--seeds"} & set(words) else ["--num", "1"]
    assert main(["sample", run, *words, *quick, *many]) == code
    err = capsys.readouterr().err
    assert all(name in err for name in named), err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_bad_images_can_be_skipped(tmp_path, capsys):
    pictures = {f"p{i}_png": PICTURE + i for i in range(8)}
    data = folder(tmp_path / "broken", text_png=b"no picture", **pictures)
    assert main(["train", data, *TINY, "--on_bad_image", "skip", "--train_batch_size", "4"]) == 0
    assert "text.png" in capsys.readouterr().out


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path):
    words = [sys.executable, "-m", "fromnoise", "train", "digits", "--set", "net.width=8", "--num_images", "200000"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    metrics = tmp_path / "runs" / "digits-default-s0" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.lstrip().startswith("fromnoise: ") and "Traceback" not in err
    (saved,) = (metrics.parent / "checkpoints").glob("0*")
    assert int(saved.name) > 0


def test_a_pipe_that_closes_is_no_error(tmp_path):
    shell = f"{sys.executable} -m fromnoise data list | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("digits") and "Error" not in done.stderr
