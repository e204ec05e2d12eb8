"""What a checkpoint holds, which ones are kept, and weights that are refused."""

import json
import math

import pytest
import torch
from safetensors.torch import load
from torch import nn

from fromnoise.common.errors import CheckpointError
from fromnoise.common.threads import THREADS
from fromnoise.train.checkpoint import (
    FORMAT,
    BrokenWeightsError,
    load_weights,
    read_state,
    restore_trainer,
    save_checkpoint,
)
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint


def test_a_checkpoint_holds_the_whole_trainer(tmp_path, make_trainer):
    trainer = make_trainer()
    for step in trainer.steps():
        if step.step == 3:
            break
    trainer.losses.skipped = 2
    files = read_checkpoint(save_checkpoint(tmp_path, trainer, seconds=1.25, keep=2))
    assert set(files) == {
        "model.safetensors",
        "ema.safetensors",
        "ema-0.05.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    expected = {
        "format": 2,
        "step": 3,
        "images": 24,
        "total": 80,
        "skipped": 2,
        "seconds": 1.25,
        "log": {},
        "more": {},
    }
    expected |= {"threads": torch.get_num_threads(), "threads_fixed": True}
    assert json.loads(files["state.json"]) == read_state(files) == expected
    assert set(load(files["optimizer.safetensors"])) == {
        f"{i}.{name}" for i in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq")
    }
    other = make_trainer(total=800)
    assert restore_trainer(files, other) == 1.25
    assert (other.step, other.images, other.total, other.losses.skipped) == (3, 24, 80, 2)
    assert torch.equal(other.averages.posthoc[0.05].net.layer.weight, trainer.averages.posthoc[0.05].net.layer.weight)


def test_the_newest_ones_are_kept(tmp_path, make_trainer):
    trainer = make_trainer()
    for step in trainer.steps():
        if step.images in (16, 24, 32):
            save_checkpoint(tmp_path, trainer, seconds=0, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["00000024", "00000032"]
    assert {path.name for path in tmp_path.iterdir()} == {"00000024", "00000032"}


def test_a_newer_format_is_refused():
    with pytest.raises(CheckpointError, match=str(FORMAT + 1)):
        read_state({"state.json": b'{"format": %d}' % (FORMAT + 1)})


@pytest.mark.parametrize("broken", ["net", "ema"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, make_trainer, broken, value):
    trainer = make_trainer()
    next(trainer.steps())
    net = trainer.net if broken == "net" else trainer.averages.ema.net
    with torch.no_grad():
        net.layer.weight[0, 0, 1, 1] = value
    files = read_checkpoint(save_checkpoint(tmp_path, trainer, seconds=0, keep=2))
    with pytest.raises(BrokenWeightsError, match=r"finite.*--checkpoint.*learning rate") as caught:
        restore_trainer(files, make_trainer())
    assert caught.value.exit_code == 4 and isinstance(caught.value, CheckpointError)


def test_weights_of_another_network_are_refused(tmp_path, make_trainer):
    files = read_checkpoint(save_checkpoint(tmp_path, make_trainer(), seconds=0, keep=2))
    for content in (files["model.safetensors"], b"no safetensors"):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_weights(nn.Linear(1, 1), content)


def test_the_number_of_threads_is_taken_up_again(make_trainer, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(THREADS, "take_up", lambda number, fixed: taken.append((number, fixed)))
    path = save_checkpoint(tmp_path, make_trainer(), seconds=0.0, keep=2)
    restore_trainer(read_checkpoint(path), make_trainer())
    assert taken == [(torch.get_num_threads(), THREADS.fixed)]
    state = json.loads((path / "state.json").read_text())
    files = read_checkpoint(path)
    files["state.json"] = json.dumps({**state, "threads": "many"}).encode()
    with pytest.raises(CheckpointError, match="threads is many"):
        restore_trainer(files, make_trainer())
    del state["threads"], state["threads_fixed"]  # as earlier versions wrote it
    files["state.json"] = json.dumps(state).encode()
    restore_trainer(files, make_trainer())
    assert taken[1:] == [(0, False)]
