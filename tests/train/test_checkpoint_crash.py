"""A save that stops at any call to the file system, or is killed at any time, leaves a checkpoint that loads."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.train.best_checkpoint import Score, best_score, prune_checkpoints, record_score
from fromnoise.train.checkpoint_files import (
    list_checkpoints,
    newest_usable,
    read_checkpoint,
    remove_checkpoint,
    sweep_checkpoints,
    write_checkpoint,
)

CALLS = ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "open")
KEEP = 2


class Stop(BaseException):
    """The process is gone: nothing after this is done, no clean-up either."""


class Disk:
    """Counts the calls that change the disk; from call `last` on, each fails as `failure` says."""

    def __init__(self, patch, last, failure):
        self.count, self.last, self.failure = 0, last, failure
        for name in CALLS:
            patch.setattr(os, name, self.wrapped(getattr(os, name)))
        patch.setattr(io, "open", self.opened(io.open))

    def tick(self, partial=lambda: None):
        self.count += 1
        if self.count >= self.last:
            if self.count == self.last:
                partial()
            raise self.failure()

    def wrapped(self, call):
        def changed(*arguments, **options):
            self.tick()
            return call(*arguments, **options)

        return changed

    def opened(self, call):
        def changed(file, mode="r", *arguments, **options):
            if not set(mode) & set("wax+"):
                return call(file, mode, *arguments, **options)
            self.tick()
            opened = call(file, mode, *arguments, **options)
            write = opened.write

            class Half:
                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    opened.close()

                def __getattr__(self, name):
                    return getattr(opened, name)

                def write(_, content):
                    self.tick(lambda: (write(content[: len(content) // 2]), opened.flush()))
                    return write(content)

            return Half()

        return changed


def no_space():
    return OSError(errno.ENOSPC, "No space left on device")


def files(images):
    return {"model.safetensors": b"w" * 100 + b"%d" % images, "state.json": b'{"format": 2, "step": %d}' % images}


def save(folder, images):
    """As a session saves: write, prune, score, prune."""
    write_checkpoint(folder, images, files(images))
    prune_checkpoints(folder, KEEP)
    record_score(folder, Score(images, "validation loss", 1 / images), KEEP)


def stopped(folder, images, last, failure, expected):
    """Save with the `last`-th call failing; returns whether it came to that."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, last, failure)
        with suppress(expected):
            save(folder, images)
    return disk.count >= last


@pytest.mark.parametrize("again", [False, True], ids=["new", "same"])
@pytest.mark.parametrize("before", [1, 3])
@pytest.mark.parametrize("kind", ["killed", "full"])
def test_a_stop_at_any_call_leaves_a_checkpoint_that_loads(tmp_path, kind, before, again):
    """before: checkpoints that were saved; again: the newest of them is saved once more."""
    failure, expected = (Stop, Stop) if kind == "killed" else (no_space, WriteError)
    last = 0
    while True:
        last += 1
        folder = tmp_path / f"{last}"
        for number in range(1, before + 1):
            save(folder, 8 * number)
        images = 8 * before if again else 8 * (before + 1)
        if not stopped(folder, images, last, failure, expected):
            break
        path, found = newest_usable(folder, lambda content: content)
        assert found == files(int(path.name)) and int(path.name) in (8 * before, images)
        best = best_score(folder)
        assert best is None or read_checkpoint(folder / f"{best.images:08d}") == files(best.images)
        sweep_checkpoints(folder)
        save(folder, images + 8)
        assert newest_usable(folder, lambda content: content)[1] == files(images + 8)
        assert len(list_checkpoints(folder)) >= min(KEEP, before)
        strays = [
            path.name for path in folder.iterdir() if path.name.startswith(".") and not path.name.endswith(".tmp")
        ]
        assert not strays, "swept at the next start"
    assert last > 15, "calls were counted"


def test_a_whole_one_that_lost_its_name_gets_it_back(tmp_path):
    """Where the system cannot let two folders change names, there is a moment without either."""
    path = write_checkpoint(tmp_path, 8, files(8))
    path.rename(tmp_path / ".building-8-1")
    (tmp_path / ".building-16-1").mkdir()
    (tmp_path / ".trash-00000008-1").mkdir()
    sweep_checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"00000008"} and read_checkpoint(path) == files(8)


def test_what_does_not_read_back_does_not_take_the_place_of_what_is_there(tmp_path, monkeypatch):
    from fromnoise.train import checkpoint_files

    write_checkpoint(tmp_path, 8, files(8))
    monkeypatch.setattr(checkpoint_files, "write_through", lambda path, content: path.write_bytes(content[:-1] + b"?"))
    for images in (8, 16):
        with pytest.raises(WriteError, match=f"{images:08d}"):
            write_checkpoint(tmp_path, images, files(images + 1))
    assert read_checkpoint(tmp_path / "00000008") == files(8) and [p.name for p in tmp_path.iterdir()] == ["00000008"]


SAVING = """
import sys, itertools
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_checkpoint_crash import save, sweep_checkpoints
folder = Path(sys.argv[1])
sweep_checkpoints(folder)
for images in itertools.count(int(sys.argv[3]), 8):
    save(folder, images)
    print(images, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_25_kills_of_a_process_that_saves_lose_nothing(tmp_path):
    saved, here = 8, str(Path(__file__).parent)
    for number in range(25):
        command = [sys.executable, "-c", SAVING, str(tmp_path), here, str(saved)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()  # it is at work
            time.sleep(0.0007 * number)
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        saved = int(said[-1]) if said else saved
        path, found = newest_usable(tmp_path, lambda content: content)
        assert found == files(int(path.name)) and int(path.name) >= saved
        for checkpoint in list_checkpoints(tmp_path):
            assert read_checkpoint(checkpoint) == files(int(checkpoint.name)), "no half checkpoint bears a name"
        saved = int(path.name)


def test_a_kill_while_one_is_deleted_leaves_nothing_that_looks_like_one(tmp_path):
    for last in range(1, 9):
        path = write_checkpoint(tmp_path / str(last), 8, files(8))
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, last, Stop)
            with suppress(Stop):
                remove_checkpoint(path)
        for left in list_checkpoints(tmp_path / str(last)):
            assert read_checkpoint(left) == files(8)
    with pytest.raises(CheckpointError):
        newest_usable(tmp_path / "8", lambda content: content)
