"""Killed at any moment and resumed through the command line, a training ends in the same weights and the same log."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fromnoise.run import Run
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

RECIPES = {
    "default": ["--recipe", "default-tiny", "--set", "net.width=8"],
    "ddpm": ["--recipe", "ddpm", "--set", "net.channels=32,32", "--set", "net.attention=false"],
    "dit": ["--recipe", "default-tiny", "--set", "net.kind=dit", "--set", "net.width=32", "--set", "net.depth=1"],
}
LENGTH = ["--num_images", "1920", "--train_batch_size", "64", "--previews", "0", "--checkpointing_steps", "3"]
BEGIN = """
import os, signal, sys
from fromnoise.cli import main
from fromnoise.train import averages, checkpoint_files

left, number = int(sys.argv[1]), int(sys.argv[2])

def counted(place, name):
    real = getattr(place, name)

    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)
        return real(*args, **kwargs)

    setattr(place, name, call)

counted(checkpoint_files, "write_through")
counted(averages.Averages, "update")
sys.exit(main(sys.argv[3:]))
"""


def trained(words: list[str], folder: Path, rng: random.Random | None) -> tuple[Run, int]:
    """(the run, in how many lives): each ends at a random step, or at the write of a checkpoint's file."""
    for life in range(1, 60):
        number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]) if rng else signal.SIGKILL
        after = str(rng.randrange(1, 30)) if rng else "0"
        command = [sys.executable, "-c", BEGIN, after, str(int(number)), "train", "digits", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            [*command, "--output_dir", str(folder)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            _, said = process.communicate(timeout=200)
        if process.returncode == 0:
            return Run(folder, device="cpu"), life
        assert process.returncode in (-number, 128 + number), said.decode()
    raise AssertionError("it never ended")


def state(run: Run) -> Any:
    newest = run.newest_checkpoint()
    assert newest is not None
    files = read_checkpoint(newest)
    lines = [(line["step"], line["images"], line["loss"]) for line in run.folder.read_metrics() if "step" in line]
    averages = {path.name: path.read_bytes() for path in run.folder.averages.glob("*.safetensors")}
    return {name: value for name, value in files.items() if name.endswith("safetensors")}, lines, averages


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_killed_again_and_again(tmp_path: Path, name: str) -> None:
    whole, _ = trained([*RECIPES[name], *LENGTH], tmp_path / "whole", None)
    parts, lives = trained([*RECIPES[name], *LENGTH], tmp_path / "parts", random.Random(name))
    assert lives > 3 and state(parts) == state(whole)


def test_killed_in_the_middle_of_a_checkpoint(tmp_path: Path) -> None:
    settings = {"net.width": 8, "train.num_images": 640, "train.train_batch_size": 64, "train.checkpointing_steps": 3}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    words = ["--recipe", "default-tiny", *words, "--previews", "0", "--output_dir", str(tmp_path / "r")]
    command = [sys.executable, "-c", BEGIN, "16", str(int(signal.SIGKILL)), "train", "digits", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    assert subprocess.run(command, env=environment, timeout=200, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in list_checkpoints(tmp_path / "r" / "checkpoints")] == ["00000192"]
    settings |= {"train.previews": 0}
    whole = Run.create("digits", recipe="default-tiny", output_dir=tmp_path / "w", settings=settings, device="cpu")
    assert state(Run.resume(tmp_path / "r", device="cpu").train()) == state(whole.train())
