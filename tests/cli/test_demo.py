"""The demo as a person gets it: digits that an independent classifier reads, within the promised time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch

from fromnoise.data import cache_dir
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.run import Run

TRAINING_SECONDS = 120.0


def demo(folder: Path, *flags: str, data: str | None = None) -> str:
    """What `fromnoise demo` prints in `folder`. data: $FROMNOISE_DATA, that of the tests if None."""
    surroundings = {**os.environ} | ({} if data is None else {"FROMNOISE_DATA": data})
    command = [sys.executable, "-m", "fromnoise", "demo", *flags]
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def seconds_trained(run: Path) -> float:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return max(line["seconds"] for line in lines if "seconds" in line)


def accuracy_of_samples(path: Path) -> float:
    """The share of 200 samples that a classifier of the real images assigns to the class they are conditioned on."""
    run, labels = Run(path), torch.arange(200) % 10
    images = torch.from_numpy(run.model().sample_labelled(range(200), labels).images).permute(0, 3, 1, 2)
    predicted = cached_classifier(run.data, cache_dir() / "classifiers").probabilities(images).argmax(1)
    return float((predicted == labels).double().mean())


@pytest.mark.alone
@pytest.mark.parametrize("at_hand", [True, False], ids=["mnist", "digits"])
def test_demo(tmp_path: Path, at_hand: bool, request: pytest.FixtureRequest) -> None:
    if at_hand:
        request.getfixturevalue("mnist_dir")
    began = time.monotonic()
    printed = demo(tmp_path, data=None if at_hand else str(tmp_path / "nothing"))
    (run,) = (tmp_path / "runs").iterdir()
    name = "mnist" if at_hand else "digits"
    assert run.name == f"demo-{name}" and f"Data: {name}" in printed
    assert printed.splitlines()[-1].endswith(str(run / "report.html"))
    assert seconds_trained(run) < TRAINING_SECONDS and time.monotonic() - began < 600
    assert (run / "report.html").is_file() and accuracy_of_samples(run) >= 0.9


@pytest.mark.alone
def test_a_demo_of_ones_own_length_and_place_is_finished_the_second_time(tmp_path: Path) -> None:
    flags = ("--budget", "20s", "--output-dir", "here", "--device", "cpu")
    nowhere = str(tmp_path / "nothing")
    demo(tmp_path, *flags, data=nowhere)
    run, before = tmp_path / "here", seconds_trained(tmp_path / "here")
    assert "finished" in demo(tmp_path, *flags, data=nowhere)
    assert seconds_trained(run) == before
    assert tomllib.loads((run / "config.toml").read_text())["train"]["budget"] == "20s"
