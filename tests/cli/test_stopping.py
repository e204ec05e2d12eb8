"""A signal ends every verb with its exit code, leaves nothing half written, and a second one ends it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fromnoise.chapter import page as chapter
from fromnoise.cli import launch, main, stopping
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.model.trained_model import TrainedModel
from fromnoise.train.interrupts import stop_on_signals

VERBS = {
    "sample": ["sample", "RUN", "--num", "4", "--out", "OUT/s.png"],
    "sample into a folder": ["sample", "RUN", "--num", "4", "--out", "OUT/s/"],
    "edit": ["edit", "RUN", "interpolate", "--seeds", "1,2", "--num", "2", "--out", "OUT/e.png"],
    "show": ["show", "RUN"],
    "evaluate": ["evaluate", "RUN", "--num", "20"],
    "sweep": ["evaluate", "RUN", "--sweep", "steps=1,2", "--num", "20"],
    "diagnose": ["diagnose", "RUN"],
    "compare": ["compare", "RUN", "RUN", "--out", "OUT/c.html"],
}


@pytest.fixture
def signals_once(monkeypatch: pytest.MonkeyPatch) -> Any:
    """signals_once(number): the next samples that are made end in this signal."""

    def use(number: signal.Signals) -> None:
        monkeypatch.setattr(TrainedModel, "sample_labelled", lambda *_, **__: signal.raise_signal(number))
        monkeypatch.setattr(Denoiser, "__call__", lambda *_, **__: signal.raise_signal(number))

    return use


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_signal_ends_a_verb(
    tiny_run: Any, tmp_path: Path, signals_once: Any, capsys: Any, verb: str, number: signal.Signals, code: int
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.path.rglob("*")}
    handlers = [signal.getsignal(each) for each in stopping.NUMBERS]
    signals_once(number)
    words = [word.replace("RUN", str(tiny_run.path)).replace("OUT", str(tmp_path)) for word in VERBS[verb]]
    assert main(words) == code
    said = capsys.readouterr().err
    assert "stopped" in said and "Traceback" not in said
    after = {path: path.stat().st_mtime_ns for path in tiny_run.path.rglob("*") if not path.name.endswith(".lock")}
    assert {path for path in after if path not in before and path.is_file()} == set()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert [signal.getsignal(each) for each in stopping.NUMBERS] == handlers


def test_a_signal_that_is_ignored_stays_ignored(capsys: Any) -> None:
    """A command in the background of a script ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for stops in (stopping.stopped_by_signals, stop_on_signals, chapter.stopped_by_signals):
            with stops() as request:
                signal.raise_signal(signal.SIGINT)
            assert request is None or request.received is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_a_launch_under_nohup_lives_on_when_the_terminal_closes(tmp_path: Any) -> None:
    before, torchrun = signal.signal(signal.SIGHUP, signal.SIG_IGN), subprocess.Popen([sys.executable, "-c", ""])
    try:
        with launch._forwarding(torchrun, tmp_path) as signals:
            signal.raise_signal(signal.SIGHUP)
        assert signals == []
    finally:
        signal.signal(signal.SIGHUP, before)


SECOND = """
import signal, time
from fromnoise.cli.stopping import stopped_by_signals
with stopped_by_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals between processes")
def test_a_second_signal_ends_the_process_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", SECOND], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(timeout=30) == -signal.SIGTERM and time.monotonic() - began < 30
