"""A run that is there: what may be requested of it, what is refused, and what it says."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fromnoise.cli import main
from fromnoise.common.errors import BusyError, CheckpointError, Interrupted, UsageError
from fromnoise.data import loading
from fromnoise.run import Run, opened
from fromnoise.run.checkpoints import newest_state
from fromnoise.run.folder import RunFolder
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint
from fromnoise.train.hardware import choose_device

FLAGS = ["--set", "net.width=8", "--set", "net.depth=1", "--num_images", "640", "--train_batch_size", "64"]


def weights(run: Run) -> dict[str, bytes]:
    files = read_checkpoint(run.newest_checkpoint())
    return {name: content for name, content in files.items() if name.endswith("safetensors")}


def stopped(run: Run, after: int) -> Run:
    """`run`, trained for so many steps (and one)."""
    with pytest.raises(Interrupted):
        for step in run.steps():
            if step.step == after:
                signal.raise_signal(signal.SIGINT)
    return Run(run.path)


def edit_checkpoint(path: Path, **changes: Any) -> None:
    """Change state.json of a checkpoint, with a manifest that says so."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    manifest = path.with_name("manifest.json")
    content = json.loads(manifest.read_text())
    content[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, tiny_settings: dict[str, Any]) -> Path:
    """A tiny run, stopped at 320 of 640 images."""
    path = tmp_path_factory.mktemp("half") / "run"
    return stopped(Run.create("digits", output_dir=path, settings=tiny_settings), 4).path


@pytest.fixture
def copy(half: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "run"))


def test_where_training_begins_is_said(copy: Path, tmp_path: Path, tiny_settings: dict[str, Any], capsys: Any) -> None:
    said: list[str] = []
    first = next(Run.create("digits", output_dir=tmp_path / "new", settings=tiny_settings).steps(say=said.append))
    assert first.step == 1 and said == [f"starting from scratch in {tmp_path / 'new'}"]
    assert main(["train", "--resume", str(copy)]) == 0
    assert "going on at 320 of 640 images" in capsys.readouterr().out
    assert main(["train", "--resume", str(copy)]) == 0
    out = capsys.readouterr().out
    assert "finished" in out and "640" in out and "going on" not in out


def test_resume_takes_the_stored_settings(copy: Path, tiny_run: Run) -> None:
    assert weights(Run.resume(copy).train()) == weights(tiny_run)


def test_a_run_is_read_on_the_cpu_before_it_goes_on_elsewhere(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(opened, "choose_device", lambda name: asked.append(name) or choose_device("cpu"))
    Run.resume(copy, device="cuda:1")
    assert asked == ["cpu", "cuda:1"]


@pytest.mark.parametrize("what", ["missing", "empty", "other", "file", "begun"])
def test_a_run_that_is_not_there_cannot_be_resumed(
    tmp_path: Path, tiny_settings: dict[str, Any], what: str, capsys: Any
) -> None:
    path = tmp_path / "run"
    make: dict[str, Callable[[], Any]] = {
        "missing": lambda: None,
        "empty": path.mkdir,
        "other": lambda: (path.mkdir(), (path / "thesis.txt").touch()),
        "file": path.touch,
        "begun": lambda: Run.create("digits", output_dir=path, settings=tiny_settings),
    }
    make[what]()
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "--resume", str(path)]) == 4
    said = capsys.readouterr()
    assert str(path) in said.err and "scratch" not in said.out and sorted(tmp_path.rglob("*")) == before
    assert ("thesis.txt" in said.err) == (what == "other")


def test_harmless_settings_may_change(copy: Path, tiny_run: Run, tiny_settings: dict[str, Any]) -> None:
    harmless = {
        "train.previews": 0,
        "train.checkpoint_every": "1h",
        "train.checkpoints_kept": 7,
        "train.validations": 0,
        "train.log_every": 3,
        "sample.steps": 4,
    }
    run = Run.create("digits", output_dir=copy, settings={**tiny_settings, **harmless})
    assert run.settings.train.checkpoints_kept == 7 and "history" not in run.metadata
    assert set(run.changes) == set(harmless)
    assert weights(run.train()) == weights(tiny_run)
    assert Run(copy).settings.sample.steps == 4
    assert tomllib.loads((copy / "config.toml").read_text())["train"]["log_every"] == 3
    assert Run.create("digits", output_dir=copy, settings={**tiny_settings, **harmless}).changes == {}


def test_a_longer_plan_is_recorded_and_followed(copy: Path, tiny_settings: dict[str, Any]) -> None:
    longer = {**tiny_settings, "train.num_images": 1024}
    run = Run.create("digits", output_dir=copy, settings=longer)
    changes = {"train.num_images": [640, 1024]}
    assert run.metadata["history"] == [{"images": 320, "changes": changes}]
    steps = list(run.steps())
    assert {step.total for step in steps} == {1024} and steps[-1].images == 1024
    assert steps[-1].learning_rate < steps[0].learning_rate
    assert list(Run(copy).steps()) == []


def test_a_plan_in_other_words_replaces_the_first(copy: Path) -> None:
    run = Run.resume(copy, settings={"train.num_epochs": 1.0})
    assert (run.settings.train.num_images, run.settings.train.num_epochs) == (None, 1.0)
    assert list(run.steps())[-1].images == 1500


def test_a_time_budget_is_planned_again(copy: Path) -> None:
    spent = newest_state(RunFolder(copy))["seconds"]
    run = Run.resume(copy, settings={"train.budget": f"{spent + 8:.1f}s"})
    steps = list(run.steps(started=None))
    assert steps[0].total is None and steps[-1].total not in (None, 640)


def test_a_budget_that_is_spent_already_is_refused(copy: Path) -> None:
    state = copy / "checkpoints" / "00000320" / "state.json"
    before = (copy / "config.json").read_bytes()
    edit_checkpoint(state, seconds=500.0)
    with pytest.raises(UsageError, match=r"8 min 20 s already, but a budget of 8m is requested in all; give more"):
        Run.resume(copy, settings={"train.budget": "8m"})
    assert (copy / "config.json").read_bytes() == before and len(list_checkpoints(copy / "checkpoints")) == 1
    assert Run.resume(copy, settings={"train.budget": "9m"}).settings.train.budget == "9m"


def test_how_images_are_kept_may_change_before_they_are_read(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    kept: list[str] = []
    real = loading.load
    monkeypatch.setattr(loading, "load", lambda options: kept.append(options.store) or real(options))
    Run.resume(copy, settings={"data.store": "always"})
    assert kept == ["always"] and Run(copy).settings.data.store == "always"


def test_a_shorter_plan_than_what_was_seen_is_refused(copy: Path) -> None:
    with pytest.raises(UsageError, match=r"320.*\b300\b"):
        Run.resume(copy, settings={"train.num_images": 300})
    assert Run(copy).settings.train.num_images == 640


def test_a_finished_run_is_not_made_longer_and_the_way_is_said(tiny_run: Run, tiny_settings: dict[str, Any]) -> None:
    before = (tiny_run.path / "config.json").read_bytes()
    with pytest.raises(UsageError, match="finished") as caught:
        Run.create("digits", output_dir=tiny_run.path, settings={**tiny_settings, "train.num_images": 1280})
    assert f"fromnoise train digits --init {tiny_run.path} --num_images 1280" in str(caught.value)
    assert (tiny_run.path / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [{"net.width": 16}, {"process.prior": "uniform"}, {"train.seed": 1}, {"train.train_batch_size": 32}],
    ids=str,
)
def test_another_run_is_refused_with_what_was_typed_and_no_more(tiny_run: Run, changes: dict[str, Any]) -> None:
    (name,) = changes
    with pytest.raises(UsageError) as caught:
        Run.create("digits", output_dir=tiny_run.path, settings={**changes, "train.log_every": 2})
    said = str(caught.value)
    assert name in said and str(changes[name]) in said
    assert [other for other in ("net.depth", "log_every", "num_images") if other in said] == []
    with pytest.raises(UsageError, match=name):
        Run.resume(tiny_run.path, settings=changes)


def test_what_the_run_was_begun_with_may_not_be_left_out(tiny_run: Run, tiny_settings: dict[str, Any]) -> None:
    less = {name: value for name, value in tiny_settings.items() if name != "net.depth"}
    with pytest.raises(UsageError, match=r"net\.depth=1") as caught:
        Run.create("digits", output_dir=tiny_run.path, settings=less)
    assert "net.width" not in str(caught.value)
    without_plan = {name: value for name, value in tiny_settings.items() if name != "train.num_images"}
    assert Run.create("digits", output_dir=tiny_run.path, settings=without_plan).settings == tiny_run.settings


def test_another_recipe_or_other_images_are_refused(
    tiny_run: Run, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"recipe.*default.*ddpm"):
        Run.create("digits", recipe="ddpm", output_dir=tiny_run.path, settings=tiny_settings)
    with pytest.raises(UsageError, match="recipe"):
        Run.resume(tiny_run.path, recipe="ddpm")
    np.savez(tmp_path / "other.npz", images=np.zeros((90, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="images"):
        Run.resume(tiny_run.path, data=str(tmp_path / "other.npz"))


def test_images_may_have_moved(tmp_path: Path, tiny_settings: dict[str, Any]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    run = stopped(Run.create(str(tmp_path / "a.npz"), output_dir=tmp_path / "r", settings=tiny_settings), 2)
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    moved = Run.resume(run.path, data=str(tmp_path / "b.npz"))
    assert moved.settings.data.source == Run(run.path).settings.data.source == str(tmp_path / "b.npz")
    assert moved.train().newest_checkpoint().name.endswith("648")


def test_settings_that_do_not_go_together_are_not_stored(copy: Path) -> None:
    before = (copy / "config.json").read_bytes()
    with pytest.raises(UsageError):
        Run.resume(copy, settings={"sample.sampler": "ddim", "sample.churn": 0.3})
    with pytest.raises(UsageError, match=r"num_images.*budget|budget.*num_images"):
        Run.resume(copy, settings={"train.num_images": 900, "train.budget": "3m"})
    assert (copy / "config.json").read_bytes() == before


def test_settings_of_a_run_that_trains_elsewhere_stay(copy: Path) -> None:
    with Run(copy).folder.locked(), pytest.raises(BusyError):
        Run.resume(copy, settings={"train.previews": 0})
    assert Run(copy).settings.train.previews == 1


def test_flags_that_do_not_go_with_resume(copy: Path, capsys: Any) -> None:
    for flag in ("--output_dir", "--init"):
        assert main(["train", "--resume", str(copy), flag, "x"]) == 2 and flag in capsys.readouterr().err
    assert main(["train"]) == 2


def test_the_words_that_people_know_for_checkpoints(tmp_path: Path) -> None:
    words = ["--checkpointing_steps", "2", "--checkpoints_total_limit", "3", "--checkpoint_every", "0.0001s"]
    assert main(["train", "digits", *FLAGS, *words, "--output_dir", str(tmp_path / "r")]) == 0
    assert [int(path.name) for path in list_checkpoints(tmp_path / "r" / "checkpoints")] == [384, 512, 640]
    assert main(["train", "digits", "--checkpoints_total_limit", "1", "--output_dir", str(tmp_path / "x")]) == 2


# -- from the weights of another run ---------------------------------------------------------------------------------


def test_a_run_starts_from_the_averaged_weights_of_another(tiny_run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    run = Run.create("digits", output_dir=tmp_path / "r", settings={"train.num_images": 256}, init=tiny_run.path)
    assert (run.settings.net.width, run.settings.net.depth) == (8, 1), "the network is that of the other run"
    for _ in run.steps(say=said.append):
        break
    own = Run(tmp_path / "r").folder.initial_weights
    assert own.is_file() and "640 images" in said[0] and "scratch" not in said[0]
    from safetensors.torch import load_file

    expected = tiny_run.denoiser().net.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_file(own).items())
    assert json.loads((tmp_path / "r" / "config.json").read_text())["init"]["from"] == str(tiny_run.path)


def test_a_run_from_other_weights_is_the_same_each_time_and_resumes(tiny_run: Run, tmp_path: Path) -> None:
    settings = {"train.num_images": 256, "train.train_batch_size": 64}
    source = Path(shutil.copytree(tiny_run.path, tmp_path / "source"))
    whole = Run.create("digits", output_dir=tmp_path / "a", settings=settings, init=source).train()
    stopped(Run.create("digits", output_dir=tmp_path / "b", settings=settings, init=source), 2)
    shutil.rmtree(source)
    parts = Run.create("digits", output_dir=tmp_path / "b", settings=settings, init=source).train()
    assert weights(parts) == weights(whole)
    with pytest.raises(UsageError, match="init"):
        Run.create("digits", output_dir=tmp_path / "b", settings=settings)


def test_other_classes_and_channels_start_from_scratch_and_it_is_said(tiny_run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 24, 24, 3), dtype=np.uint8)
    np.savez(tmp_path / "rgb.npz", images=images, labels=rng.integers(0, 3, 90))
    run = Run.create(
        str(tmp_path / "rgb.npz"),
        output_dir=tmp_path / "r",
        settings={"train.num_images": 64, "train.train_batch_size": 32},
        init=list_checkpoints(tiny_run.folder.checkpoints)[-1],
    )
    said: list[str] = []
    list(run.steps(say=said.append))
    scratch = run.metadata["init"]["scratch"]
    assert scratch and len(scratch) < 8 and all(name in said[0] for name in scratch[:6])
    assert run.sample(2).images.shape == (2, 24, 24, 3)


def test_weights_of_another_network_are_refused(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="network"):
        Run.create("digits", output_dir=tmp_path / "r", settings={"net.width": 32}, init=tiny_run.path)
    with pytest.raises(CheckpointError, match="elsewhere"):
        Run.create("digits", output_dir=tmp_path / "r", init=tmp_path / "elsewhere")
    assert not (tmp_path / "r").exists()


def test_initial_weights_that_are_damaged_are_not_used(tiny_run: Run, tmp_path: Path) -> None:
    run = Run.create("digits", output_dir=tmp_path / "r", settings={"train.num_images": 256}, init=tiny_run.path)
    content = bytearray(run.folder.initial_weights.read_bytes())
    content[-1] ^= 1
    run.folder.initial_weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"init\.safetensors"):
        run.train()
    run.folder.initial_weights.unlink()
    with pytest.raises(CheckpointError, match=r"init\.safetensors"):
        run.train()
