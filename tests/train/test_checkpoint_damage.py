"""Damaged and hostile checkpoints and averages: every one is noticed, and an older one takes its place."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil

import pytest
import torch
from safetensors.torch import load, save

from fromnoise.common.errors import CheckpointError, FromNoiseError
from fromnoise.train import posthoc_ema
from fromnoise.train.checkpoint import NewerFormatError, read_state, restore_newest, restore_trainer, save_checkpoint
from fromnoise.train.checkpoint_files import list_checkpoints, newest_usable, read_checkpoint
from fromnoise.train.posthoc_ema import reconstruct
from fromnoise.train.snapshot_manifest import list_snapshots

DAMAGES = 300


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_trainer):
    """A folder with two checkpoints, after 60 and 100 steps, and their averages."""
    folder, trainer = tmp_path_factory.mktemp("trained"), make_trainer(total=1600, hidden=True)
    for step in trainer.steps():
        posthoc_ema.save_if_due(folder / "averages", trainer)
        if step.step in (60, 100):
            save_checkpoint(folder / "checkpoints", trainer, seconds=step.step, keep=2)
        if step.step == 100:
            break
    assert [path.name for path in list_snapshots(folder / "averages")] == [f"{n:08d}.safetensors" for n in (32, 64, 96)]
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def damaged(content, kind, chance):
    if kind == "cut":
        return content[: chance.randrange(len(content))]
    place = chance.randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "flip"])
def test_every_damage_of_a_checkpoint_is_noticed_and_the_older_one_is_used(copied, kind, capsys):
    older, newer = list_checkpoints(copied / "checkpoints")
    chance = random.Random(kind)
    files = sorted(newer.iterdir())
    for _ in range(DAMAGES):
        file = chance.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, kind, chance))
        with pytest.raises(CheckpointError, match=newer.name):
            read_checkpoint(newer)
        path, state = newest_usable(copied / "checkpoints", read_state)
        assert path == older and state["step"] == 60
        said = capsys.readouterr().err
        assert newer.name in said and older.name in said, "it is said which one is damaged, and which is used"
        file.write_bytes(whole)
    assert newest_usable(copied / "checkpoints", read_state)[0] == newer and not capsys.readouterr().err


@pytest.mark.parametrize("kind", ["cut", "flip", "gone"])
def test_every_damage_of_the_averages_is_noticed(copied, kind, make_trainer):
    net, folder = make_trainer(hidden=True).net, copied / "averages"
    files = read_checkpoint(list_checkpoints(copied / "checkpoints")[-1])
    reconstruct(net, files, folder, 0.12)
    chance, places = random.Random(kind), sorted(folder.iterdir())
    assert len(places) == 4, "three snapshots and their manifest"
    for n in range(DAMAGES if kind != "gone" else len(places)):
        file = chance.choice(places) if kind != "gone" else places[n]
        whole = file.read_bytes()
        file.unlink() if kind == "gone" else file.write_bytes(damaged(whole, kind, chance))
        with pytest.raises(CheckpointError, match="averages") as caught:
            reconstruct(net, files, folder, 0.12)
        assert caught.value.exit_code == 4 and "--weights ema or raw" in str(caught.value)
        file.write_bytes(whole)
    reconstruct(net, files, folder, 0.12)


def test_an_emptied_folder_of_averages_is_noticed_also_after_training_went_on(copied, make_trainer):
    trainer, folder = make_trainer(total=3200, hidden=True), copied / "averages"
    restore_newest(copied / "checkpoints", trainer)
    shutil.rmtree(folder)
    posthoc_ema.prune_after(folder, trainer.step)
    for step in trainer.steps():
        posthoc_ema.save_if_due(folder, trainer)
        if step.step == 300:
            break
    saved = read_checkpoint(save_checkpoint(copied / "checkpoints", trainer, seconds=0, keep=2))
    with pytest.raises(CheckpointError, match="gone"):
        reconstruct(trainer.net, saved, folder, 0.12)


def test_training_resumes_beside_a_damaged_list_of_averages(copied, capsys):
    (copied / "averages" / "manifest.json").write_text("{")
    posthoc_ema.prune_after(copied / "averages", 100)
    assert "manifest.json" in capsys.readouterr().err
    posthoc_ema.prune_after(copied / "averages", 100)
    assert not capsys.readouterr().err and len(list_snapshots(copied / "averages")) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs another user")
def test_a_folder_that_cannot_be_read_is_said(copied, make_trainer):
    files = read_checkpoint(list_checkpoints(copied / "checkpoints")[-1])
    net = make_trainer(hidden=True).net
    for path in (copied.parent, *copied.parent.parents):  # the other user must reach the place itself
        if path.stat().st_uid == 0 and len(path.parts) > 2:
            path.chmod(0o755)
    for name in ("averages", "checkpoints"):
        (copied / name).chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(CheckpointError, match="averages"):
            reconstruct(net, files, copied / "averages", 0.12)
        with pytest.raises(CheckpointError, match="checkpoints"):
            list_checkpoints(copied / "checkpoints")
    finally:
        os.seteuid(0)


DEEP = b"[" * 100_000 + b"]" * 100_000
JSONS = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{}",
    b"true",
    b"\xff",
    DEEP,
    b'{"x":' * 100_000,
    b'{"a": NaN}',
    b"1" * 9999,
]
MANIFESTS = [
    {"model.safetensors": None},
    {"model.safetensors": 3},
    {"/dev/zero": "0" * 64},
    {"../../../../etc/passwd": "0" * 64},
    {"..": "0" * 64},
    {"": "0" * 64},
    {"a\x00b": "0" * 64},
    {"x" * 5000: "0" * 64},
    {"manifest.json": "0" * 64},
]


@pytest.mark.parametrize(
    "content", [*JSONS, *(json.dumps(one).encode() for one in MANIFESTS)], ids=lambda c: str(c[:30])
)
def test_a_manifest_that_lists_no_files_of_ours_is_refused(copied, make_trainer, content):
    newer = list_checkpoints(copied / "checkpoints")[-1]
    (newer / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^[^\n]*$"):
        restore_trainer(read_checkpoint(newer), make_trainer(hidden=True))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_devices_and_pipes_are_not_read(copied, name):
    newer = list_checkpoints(copied / "checkpoints")[-1]
    for make in (os.mkfifo, lambda place: place.symlink_to("/dev/zero"), os.mkdir):
        (newer / name).rename(copied / "aside")
        make(newer / name)
        with pytest.raises(CheckpointError, match=newer.name):
            read_checkpoint(newer)
        (newer / name).rmdir() if (newer / name).is_dir() else (newer / name).unlink()
        (copied / "aside").rename(newer / name)


def replaced(path, name, content):
    """The checkpoint's files with another `name`, whose SHA-256 the manifest has."""
    (path / name).write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text()) | {name: hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))


STATES = [
    {"step": None},
    {"step": "60"},
    {"step": -1},
    {"step": 10**30},
    {"step": True},
    {"format": None},
    {"format": "2"},
    {"format": 1.5},
    {"images": []},
    {"total": "x"},
    {"skipped": {}},
    {"seconds": "long"},
    {"seconds": None},
    {"seconds": 1e999},
]


@pytest.mark.parametrize("change", STATES, ids=str)
def test_a_state_of_other_kinds_is_refused(copied, make_trainer, change):
    newer = list_checkpoints(copied / "checkpoints")[-1]
    state = json.loads((newer / "state.json").read_text())
    replaced(newer, "state.json", json.dumps({**state, **change}).encode())
    with pytest.raises(CheckpointError, match=rf"state\.json.*{next(iter(change))}"):
        restore_trainer(read_checkpoint(newer), make_trainer(hidden=True))


@pytest.mark.parametrize("content", JSONS, ids=lambda c: str(c[:30]))
def test_a_state_of_another_shape_is_refused(copied, content):
    newer = list_checkpoints(copied / "checkpoints")[-1]
    replaced(newer, "state.json", content)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        read_state(read_checkpoint(newer))


def other_optimizers(tensors):
    first = dict(list(tensors.items())[:1])
    yield b"words"
    yield save({"x.exp_avg": torch.zeros(1)})
    yield save({"99999999999.exp_avg": torch.zeros(1)})
    yield save({f"{key}x": value for key, value in tensors.items()})
    yield save(first)
    yield save({key: torch.zeros(7) for key in tensors})
    yield save({key: torch.full_like(value, torch.nan) for key, value in tensors.items()})


def test_an_optimizer_that_does_not_fit_is_refused_and_the_older_checkpoint_is_used(copied, make_trainer, capsys):
    older, newer = list_checkpoints(copied / "checkpoints")
    for content in other_optimizers(load((newer / "optimizer.safetensors").read_bytes())):
        replaced(newer, "optimizer.safetensors", content)
        with pytest.raises(CheckpointError, match=r"optimizer\.safetensors"):
            restore_trainer(read_checkpoint(newer), make_trainer(hidden=True))
    trainer = make_trainer(hidden=True)
    assert restore_newest(copied / "checkpoints", trainer) == 60 and trainer.step == 60
    assert trainer.averages.posthoc, "what the damaged one lacked has no effect"
    assert list_checkpoints(copied / "checkpoints") == [older], "the damaged one is set aside, and not counted"
    assert (copied / "checkpoints" / f"damaged-{newer.name}").is_dir() and "renamed" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["model", "ema", "optimizer"])
def test_a_checkpoint_that_lists_too_little_is_refused_by_name(copied, make_trainer, missing):
    files = read_checkpoint(list_checkpoints(copied / "checkpoints")[-1])
    del files[f"{missing}.safetensors"]
    with pytest.raises(CheckpointError, match=rf"no {missing}\.safetensors"):
        restore_trainer(files, make_trainer(hidden=True))


def test_where_none_can_be_used_the_newest_ones_error_is_said(copied, make_trainer):
    older, newer = list_checkpoints(copied / "checkpoints")
    for path in (older, newer):
        (path / "state.json").unlink()
    with pytest.raises(CheckpointError, match=newer.name):
        restore_newest(copied / "checkpoints", make_trainer(hidden=True))
    assert list_checkpoints(copied / "checkpoints") == [older, newer]
    assert restore_newest(copied / "nowhere", make_trainer()) is None


def test_an_older_one_does_not_take_the_place_of_one_that_a_newer_version_wrote(copied, make_trainer):
    newer = list_checkpoints(copied / "checkpoints")[-1]
    replaced(newer, "state.json", b'{"format": 99, "step": 100}')
    with pytest.raises(NewerFormatError, match="99"):
        restore_newest(copied / "checkpoints", make_trainer(hidden=True))
    assert newer.is_dir()


def test_only_errors_of_ours_come_out_of_any_change_of_a_whole_checkpoint(copied, make_trainer):
    """The manifest fits, so that what is behind it must hold."""
    newer, chance = list_checkpoints(copied / "checkpoints")[-1], random.Random(0)
    whole = {file.name: file.read_bytes() for file in newer.iterdir() if file.name != "manifest.json"}
    refused = 0
    for _ in range(150):
        name = chance.choice(sorted(whole))
        head = min(len(whole[name]), 400)  # where the names and shapes are
        content = damaged(whole[name][:head], chance.choice(["cut", "flip"]), chance) + whole[name][head:]
        replaced(newer, name, content)
        try:
            restore_trainer(read_checkpoint(newer), make_trainer(hidden=True))
        except FromNoiseError as error:
            refused += 1
            assert "\n" not in str(error) and error.exit_code == 4
        replaced(newer, name, whole[name])
    assert refused > 75
