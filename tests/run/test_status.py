"""How a training stands: as its own note, its lock and its checkpoints tell."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from fromnoise.common.errors import BusyError, DivergedError, Interrupted
from fromnoise.run import Run
from fromnoise.run.folder import RunFolder
from fromnoise.run.status import noted, status_of


@pytest.fixture
def folder(tiny_run, tmp_path):
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_run_that_was_trained_is_finished(tiny_run):
    status = status_of(tiny_run.folder)
    assert status.state == "finished" and status.began <= status.ended <= time.time()


def test_a_run_begun_is_new_and_one_left_early_is_stopped(tmp_path, tiny_settings):
    run = Run.create("digits", output_dir=tmp_path / "run", settings=tiny_settings)
    assert status_of(run.folder).state == "new"
    steps = run.steps()
    next(steps)
    assert status_of(run.folder).state == "training"
    steps.close()
    assert status_of(run.folder).state == "stopped"


@pytest.mark.parametrize(
    "error, state",
    [
        (Interrupted("stopped after 64 images", 130), "stopped"),
        (KeyboardInterrupt(), "stopped"),
        (DivergedError("the loss is not finite"), "failed"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_how_it_ended_is_noted(folder, error, state):
    with pytest.raises(type(error)), folder.locked(), noted(folder):
        raise error
    status = status_of(folder)
    assert status.state == state and str(error) in status.message
    assert bool(status.lines) == isinstance(error, ValueError)


def test_a_killed_training_has_failed(folder):
    code = (
        "import sys, time; from pathlib import Path; from fromnoise.run.folder import RunFolder; "
        "from fromnoise.run.status import noted\n"
        "folder = RunFolder(Path(sys.argv[1]))\n"
        "with folder.locked(), noted(folder): print('there', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    assert status_of(folder).state == "training" and status_of(folder).process == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert status_of(folder).state == "failed"


def test_looking_never_keeps_a_training_from_beginning(folder):
    import threading

    folder.session.write_text(json.dumps({"state": "training"}))
    stop = threading.Event()

    def look():
        while not stop.is_set():
            status_of(folder)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            with folder.locked():
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with folder.locked(), pytest.raises(BusyError), RunFolder(folder.path).locked():
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"state": "asleep"}', '{"state": 7, "lines": 3}'])
def test_a_note_that_cannot_be_read_is_left_aside(folder, content):
    folder.session.write_text(content)
    assert status_of(folder).state == "finished", "as the checkpoints tell"


def test_a_run_of_an_earlier_version_follows_from_its_checkpoints(folder):
    folder.session.unlink()
    assert status_of(folder).state == "finished"
    state = folder.checkpoints / "00000640" / "state.json"
    state.write_text(state.read_text().replace('"total": 640', '"total": 64000'))
    assert status_of(folder).state == "stopped"
    shutil.rmtree(folder.checkpoints)
    assert status_of(folder).state == "new"
