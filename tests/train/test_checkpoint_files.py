"""A checkpoint is whole, or refused by name."""

import errno
from pathlib import Path

import pytest

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.train import checkpoint_files
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint, remove_checkpoint, write_checkpoint

FILES = {"model.safetensors": b"weights", "state.json": b"{}"}


def test_what_is_written_is_read_and_listed_by_images(tmp_path):
    assert list_checkpoints(tmp_path / "nowhere") == []
    for images in (100_000_000, 24, 16):
        write_checkpoint(tmp_path, images, FILES)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["00000016", "00000024", "100000000"]
    assert read_checkpoint(tmp_path / "00000024") == FILES
    remove_checkpoint(tmp_path / "00000024")
    assert {path.name for path in tmp_path.iterdir()} == {"00000016", "100000000"}


def test_another_one_of_the_same_images_takes_its_place(tmp_path):
    write_checkpoint(tmp_path, 16, FILES)
    write_checkpoint(tmp_path, 16, {"state.json": b"[]"})
    assert read_checkpoint(tmp_path / "00000016") == {"state.json": b"[]"}
    assert {path.name for path in tmp_path.iterdir()} == {"00000016"}


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest", "a list"])
def test_a_damaged_one_is_refused_by_name(tmp_path, damage):
    path = write_checkpoint(tmp_path, 16, FILES)
    if damage == "changed":
        (path / "model.safetensors").write_bytes(b"weightz")
    elif damage == "missing":
        (path / "model.safetensors").unlink()
    elif damage == "no manifest":
        (path / "manifest.json").unlink()
    else:
        (path / "manifest.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="model.safetensors" if damage == "changed" else "00000016") as caught:
        read_checkpoint(path)
    assert caught.value.exit_code == 4


def test_a_full_disk_leaves_the_former_one(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 16, FILES)

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_files, "write_through", full)
    for images in (16, 24):
        with pytest.raises(WriteError, match=f"{images:08d}"):
            write_checkpoint(tmp_path, images, FILES)
    assert {path.name for path in tmp_path.iterdir()} == {"00000016"}
    assert read_checkpoint(tmp_path / "00000016") == FILES
