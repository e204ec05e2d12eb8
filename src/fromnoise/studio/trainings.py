"""Trainings that the page begins, stops and continues: the ordinary command, as a process of its own.

A process goes on when the studio ends. What it prints goes into training.log of its run folder. Runs that wait in
the queue begin one after another, when no training of this studio goes on; they are forgotten when the studio ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fromnoise.common.errors import BusyError, UsageError, WriteError
from fromnoise.common.files import reason_of, tail
from fromnoise.common.text import visible
from fromnoise.run.folder import RunFolder
from fromnoise.run.status import Status, status_of
from fromnoise.studio.trash import check_name

LOG = "training.log"
MOST = 4  # trainings of this studio at once
MOST_WAITING = 50
_LAST_BYTES, _LAST_LINES = 8192, 30


@dataclass
class Trainings:
    """The trainings that this studio has begun, by the path of their run."""

    _begun: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)
    _stopped: set[int] = field(default_factory=set)
    _waiting: dict[Path, list[str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self, root: Path, name: str, words: Sequence[str]) -> Path:
        """Begin a new run called `name` below `root`: `words` follow `fromnoise train`. Returns its path.

        Raises:
            UsageError: for a name that cannot be a folder's, or is one already.
            BusyError: MOST trainings go on.
            WriteError: the folder cannot be made.
        """
        with self._lock:
            path = self._free(root, name)
            self._start(path, [*words, "--output_dir", str(path)])
            return path

    def enqueue(self, root: Path, name: str, words: Sequence[str]) -> None:
        """Begin a new run when those before it have ended, however they did.

        Raises:
            UsageError: for a name that cannot be a folder's, or is one already.
            BusyError: MOST_WAITING wait.
        """
        with self._lock:
            path = self._free(root, name)
            if len(self._waiting) >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} runs wait already; take one out of the queue")
            self._waiting[path] = list(words)
        self.advance()

    def leave(self, name: str) -> None:
        """Take a run out of the queue."""
        with self._lock:
            for path in [path for path in self._waiting if path.name == name]:
                del self._waiting[path]

    @property
    def waiting(self) -> list[str]:
        """The names of the runs in the queue, the next one first."""
        return [path.name for path in list(self._waiting)]

    def advance(self) -> None:
        """Begin the next run of the queue if no training of this studio goes on."""
        with self._lock:
            while self._waiting and not any(one.poll() is None for one in self._begun.values()):
                path = next(iter(self._waiting))
                words = self._waiting.pop(path)
                with suppress(UsageError, WriteError):  # its folder is there by now, or cannot be: the next one's turn
                    self.begin(path.parent, path.name, words)

    def _free(self, root: Path, name: str) -> Path:
        """Where a new run called `name` will lie; UsageError where it cannot."""
        check_name(name)
        if (root / "config.json").exists():
            raise UsageError("this studio shows one run alone; open it on the folder of all runs to begin another")
        path = root / name
        if path.exists() or path in self._waiting:
            raise UsageError(f"there is a run or a folder called '{name}' already; give another name")
        return path

    def resume(self, folder: RunFolder) -> None:
        """Go on with a run; BusyError where it trains already."""
        with self._lock:
            if status_of(folder).state == "training":
                raise BusyError(f"{folder.path.name} trains already; wait for it, or stop it")
            self._start(folder.path, ["--resume", str(folder.path)])

    def stop(self, folder: RunFolder) -> None:
        """Ask a training to save and stop.

        Raises:
            UsageError: none goes on, or its process is not known.
            BusyError: that was asked already.
        """
        status, name = status_of(folder), folder.path.name
        begun = self._begun.get(folder.path)
        process = begun.pid if begun is not None and begun.poll() is None else None
        if process is None and status.state != "training":
            raise UsageError(f"{name} does not train; nothing is to be stopped")
        if process is None and status.process is not None and _is_training(status, folder):
            process = status.process
        if process is None:
            raise UsageError(f"the process that trains {name} is not known here; stop it where it was begun")
        with self._lock:
            if process in self._stopped:  # a second signal would end it without a checkpoint
                raise BusyError(f"{name} is stopping already; it saves a checkpoint first")
            self._stopped.add(process)
        os.kill(process, signal.SIGTERM)

    def begun(self, name: str) -> Path | None:
        """The path of a training that was begun here under this name; None for any other name."""
        return next((path for path in self._begun if path.name == name), None)

    def ended(self, path: Path) -> int | None:
        """The exit code of a training that was begun here; None while it goes on, or if it was not."""
        begun = self._begun.get(path)
        return None if begun is None else begun.poll()

    def _start(self, path: Path, words: Sequence[str]) -> None:
        if sum(one.poll() is None for one in self._begun.values()) >= MOST:
            raise BusyError(f"{MOST} trainings of this studio go on already; wait for one, or stop it")
        try:
            path.mkdir(parents=True, exist_ok=True)
            with open(path / LOG, "ab", opener=_not_by_a_link) as log:
                self._begun[path] = subprocess.Popen(
                    [sys.executable, "-m", "fromnoise", "train", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            clear_failed(path)
            raise WriteError(f"no training can begin in '{path}' ({reason_of(error)}); see to that folder") from error


def _not_by_a_link(path: str, flags: int) -> int:
    """Open the log of a folder, which may be someone else's, only where it lies in it."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_training(status: Status, folder: RunFolder) -> bool:
    """Whether the noted process is one of fromnoise's: a note may be old, or come from another machine."""
    try:
        command = Path(f"/proc/{status.process}/cmdline").read_bytes()
        place = Path(f"/proc/{status.process}/cwd").stat()
    except OSError:
        return False
    return b"fromnoise" in command and place.st_uid == os.getuid() and folder.session.stat().st_uid == os.getuid()


def last_lines(path: Path) -> list[str]:
    """The last lines of the training.log in `path`."""
    with suppress(OSError):
        if not (path / LOG).is_symlink():
            return visible(tail(path / LOG, _LAST_BYTES).decode("utf-8", "replace")).splitlines()[-_LAST_LINES:]
    return []


def clear_failed(path: Path) -> None:
    """Remove a folder in which no run was begun, if it holds nothing but our log."""
    with suppress(OSError):
        if {one.name for one in path.iterdir()} <= {LOG}:
            (path / LOG).unlink(missing_ok=True)
            path.rmdir()
