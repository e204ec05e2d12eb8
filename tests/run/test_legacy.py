"""Run folders that earlier versions left half trained: they open, sample and go on; newer ones are refused.

`tests/legacy/make.py` made them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError
from fromnoise.run import Run
from fromnoise.run.migrate import FORMAT
from fromnoise.train.checkpoint import FORMAT as CHECKPOINT_FORMAT
from fromnoise.train.checkpoint import read_state
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint

RUNS = Path(__file__).parent.parent / "legacy" / "runs.zip"


@pytest.fixture(autouse=True)
def _unpacked(tmp_path, monkeypatch):
    zipfile.ZipFile(RUNS).extractall(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", [1, 2])
def test_a_run_of_an_earlier_format_opens_samples_and_goes_on(number):
    path = Path(f"format-{number}")
    before = (path / "config.json").read_bytes()
    assert json.loads(before)["format"] == number
    run = Run(path)
    assert run.settings.sample.grid == "few_steps" and run.settings.train.validations == 0
    assert run.sample(3).images.shape == (3, 4, 4, 1) and run.sample(2, weights="ema:0.08").images.any()
    assert run.train().newest_checkpoint().name == "00000640"
    assert (path / "config.json").read_bytes() == before, "what an earlier version wrote is left as it is"
    state = read_state(read_checkpoint(list_checkpoints(run.folder.checkpoints)[-1]))
    assert (state["format"], state["step"]) == (2, 80)
    assert run.sample(2, weights="ema:0.08").images.any(), "averages from before and after are combined"


def test_both_formats_go_on_to_the_same_weights():
    files = []
    for number in (1, 2):
        run = Run(f"format-{number}").train()
        files.append(read_checkpoint(run.newest_checkpoint()))
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]


@pytest.mark.parametrize("verb", ["sample", "show", "diagnose", "evaluate"])
def test_a_newer_format_is_refused_with_what_to_do(verb, capsys):
    place = Path("format-2/config.json")
    place.write_text(json.dumps({**json.loads(place.read_text()), "format": FORMAT + 1, "sha256": "of other things"}))
    assert main([verb, "format-2"]) == 4
    said = capsys.readouterr().err
    assert str(FORMAT + 1) in said and "update" in said


def test_a_newer_checkpoint_is_refused_by_sampling_too():
    newest = list_checkpoints(Path("format-2/checkpoints"))[-1]
    state = json.dumps({"format": CHECKPOINT_FORMAT + 1}).encode()
    (newest / "state.json").write_bytes(state)
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["state.json"] = hashlib.sha256(state).hexdigest()
    (newest / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=rf"format {CHECKPOINT_FORMAT + 1}.*update"):
        Run("format-2").sample(1)
