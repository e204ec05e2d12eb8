"""Verbs on a run that take a while: the ordinary commands, each as a process of its own that ends with the studio.

What they find lies in the run folder; exported files lie in its folder exports/.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from fromnoise.common.errors import BusyError, choose
from fromnoise.common.files import tail
from fromnoise.common.text import visible
from fromnoise.run.folder import RunFolder

EXPORTS = "exports"
MOST = 2  # at once
_LAST_BYTES, _LAST_LINES = 4096, 12

# name -> the words after `fromnoise`, of the run's path
TOOLS: Mapping[str, Callable[[str], list[str]]] = {
    "show": lambda run: ["show", run],
    "diagnose": lambda run: ["diagnose", run],
    "evaluate-1000": lambda run: ["evaluate", run, "--num", "1000"],
    "evaluate-10000": lambda run: ["evaluate", run],
    "export-html": lambda run: ["export", run, "--to", "html", f"{run}/{EXPORTS}/model.html"],
    "export-onnx": lambda run: ["export", run, "--to", "onnx", f"{run}/{EXPORTS}/model.onnx"],
    "export-diffusers": lambda run: ["export", run, "--to", "diffusers", f"{run}/{EXPORTS}/diffusers"],
}


@dataclass
class _Work:
    """A command that was begun, and what it printed."""

    process: subprocess.Popen[bytes]
    output: Path
    began: float
    ended: float | None = None
    stopped: bool = False

    def state(self) -> dict[str, Any]:
        """{state, seconds, lines}: "running", "done", "stopped" or "failed"."""
        code = self.process.poll()
        if code is not None and self.ended is None:
            self.ended = time.monotonic()
        name = "running" if code is None else "stopped" if self.stopped else "done" if code == 0 else "failed"
        return {"state": name, "seconds": round((self.ended or time.monotonic()) - self.began), "lines": self._lines()}

    def _lines(self) -> list[str]:
        return visible(tail(self.output, _LAST_BYTES).decode("utf-8", "replace")).splitlines()[-_LAST_LINES:]


@dataclass
class Tools:
    """The commands of all runs, by the run's folder on the disk, whatever it is called by now, and name."""

    _works: dict[tuple[tuple[int, int], str], _Work] = field(default_factory=dict)
    _place: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)

    def begin(self, folder: RunFolder, name: str) -> None:
        """Begin a tool of TOOLS; BusyError where it is at work already, or MOST others are."""
        words = choose("tool", name, TOOLS)(str(folder.path))
        running = [key for key, work in self._works.items() if work.process.poll() is None]
        key = _identity(folder), name
        if key in running or len(running) >= MOST:
            raise BusyError(f"{len(running)} such commands are at work already; wait for one, or stop it")
        output = Path(self._place.name) / f"{uuid4().hex}.log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "fromnoise", *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._works[key] = _Work(process, output, time.monotonic())

    def stop(self, folder: RunFolder, name: str) -> None:
        """Stop a tool, which leaves nothing half written."""
        work = self._works.get((_identity(folder), name))
        if work is not None and work.process.poll() is None:
            work.stopped = True
            work.process.terminate()

    def states(self, folder: RunFolder) -> dict[str, Any]:
        """What each tool of a run does, by name; None where it was not begun here."""
        run = _identity(folder)
        works = {name: self._works.get((run, name)) for name in TOOLS}
        return {name: work and work.state() for name, work in works.items()}

    @property
    def at_work(self) -> bool:
        """Whether any is running."""
        return any(work.process.poll() is None for work in list(self._works.values()))

    def close(self) -> None:
        """Stop what is at work."""
        for work in self._works.values():
            if work.process.poll() is None:
                work.process.terminate()
                work.process.wait()
        self._place.cleanup()


def _identity(folder: RunFolder) -> tuple[int, int]:
    """What a folder keeps when it is renamed, and another under its name has not; (0, 0) of one that is gone."""
    try:
        about = folder.path.stat()
    except OSError:
        return 0, 0
    return about.st_dev, about.st_ino


def exported(folder: RunFolder) -> dict[str, int]:
    """The files in exports/ by name, with their sizes."""
    try:
        return {one.name: one.stat().st_size for one in (folder.path / EXPORTS).iterdir() if one.is_file()}
    except OSError:
        return {}
