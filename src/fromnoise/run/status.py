"""How the training of a run goes: written by itself into session.json, read by whoever looks at the folder.

session.json   state ("training", "stopped", "finished", "failed"), process, began, ended, message, lines

A process that was killed writes nothing, but lets go of the run's lock: "training" without a lock is a failure.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from fromnoise.common.errors import CheckpointError, FromNoiseError, Interrupted, WriteError
from fromnoise.common.files import read_regular, write_json
from fromnoise.common.stored_json import parse_object
from fromnoise.run.folder import RunFolder
from fromnoise.train.checkpoint_files import list_checkpoints

STATES = ("new", "training", "stopped", "finished", "failed")
_LAST_LINES = 20
_MOST_BYTES = 100_000


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Arguments:
        state: one of STATES; "new" before the first step.
        message: why it stopped or failed, one sentence, or "".
        lines: the last lines of an error that nobody foresaw.
        process: number of the process that trains or trained.
        began, ended: seconds since 1970, of the last session.
    """

    state: str
    message: str = ""
    lines: tuple[str, ...] = ()
    process: int | None = None
    began: float | None = None
    ended: float | None = None


@contextmanager
def noted(folder: RunFolder) -> Iterator[None]:
    """Write into session.json that the run trains, and how what is done inside ended.

    Only for who holds the run's lock. A note that cannot be written is left out, since no training may be lost for it.
    """
    began = time.time()

    def note(state: str, message: str = "", lines: tuple[str, ...] = ()) -> None:
        ended = None if state == "training" else time.time()
        status = Status(state, message, lines, os.getpid(), began, ended)
        with suppress(WriteError):
            if folder.path.is_dir():  # a folder that was deleted does not come back
                write_json(folder.session, asdict(status))

    note("training")
    try:
        yield
    except (Interrupted, KeyboardInterrupt, GeneratorExit) as stop:
        note("stopped", str(stop))
        raise
    except FromNoiseError as error:
        note("failed", str(error))
        raise
    except BaseException as error:
        lines = "".join(traceback.format_exception(error)).splitlines()[-_LAST_LINES:]
        note("failed", f"{type(error).__name__}: {error}", tuple(lines))
        raise
    note("finished")


def status_of(folder: RunFolder) -> Status:
    """How the run in `folder` stands; what session.json does not tell follows from the lock and the checkpoints."""
    status = _noted_status(folder)
    if status is None:
        return Status("training") if _is_locked(folder) else Status(_state_by_checkpoints(folder))
    if status.state != "training" or _is_locked(folder):
        return status
    again = _noted_status(folder)  # it may have ended between the note that was read and the look at the lock
    if again is not None and again.state != "training":
        return again
    return Status("failed", "", (), status.process, status.began)


def _noted_status(folder: RunFolder) -> Status | None:
    """What session.json holds; None where there is none, or one that cannot be read."""
    try:
        content = parse_object(read_regular(folder.session, _MOST_BYTES))
    except (OSError, ValueError):
        return None
    state, process = content.get("state"), content.get("process")
    lines = content.get("lines")
    if state not in STATES:
        return None
    return Status(
        str(state),
        str(content.get("message") or ""),
        tuple(map(str, lines)) if isinstance(lines, list) else (),
        process if isinstance(process, int) else None,
        _time(content.get("began")),
        _time(content.get("ended")),
    )


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _is_locked(folder: RunFolder) -> bool:
    """Whether a process trains in `folder`. The lock is held for a moment, which `RunFolder.locked` waits for."""
    from filelock import FileLock, Timeout

    place = folder.path / "run.lock"
    if not place.is_file() or not os.access(place, os.W_OK):
        return False
    try:
        with FileLock(place, blocking=False, is_singleton=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _state_by_checkpoints(folder: RunFolder) -> str:
    """The state of a run whose session left no note: of an earlier version, or imported."""
    try:
        there = list_checkpoints(folder.checkpoints)
    except CheckpointError:
        return "new"
    if not there:
        return "new"
    try:
        state = json.loads(read_regular(there[-1] / "state.json", 10_000_000))
        total = state.get("total") if isinstance(state, dict) else None
    except (OSError, ValueError):
        return "stopped"
    return "finished" if not isinstance(total, int) or int(there[-1].name) >= total else "stopped"
