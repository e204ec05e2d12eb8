"""`--report_to`: a tracker is given what training writes into metrics.jsonl and samples/, by a thread that reads them.

Training knows nothing of it and never waits for it. Where a tracker fails or hangs, one warning is printed, and
`fromnoise show RUN --report_to NAME` reports the rest later. trackers.json holds what a tracker that keeps its rows has
been given: the last images of each kind of line, so that a resumed run adds what follows and nothing twice.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from fromnoise.common.errors import FromNoiseError, WriteError
from fromnoise.common.options import all_settings
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import write_stored
from fromnoise.common.text import first_line, quoted
from fromnoise.report.trackers import REWRITTEN, TRACKERS, TrackedRun, check_tracker, kind_of, row_of
from fromnoise.run.folder import RunFolder
from fromnoise.run.metrics_file import MetricsFile
from fromnoise.settings import Settings

T = TypeVar("T")

INTERVAL = 1.0  # seconds between looks at the file
PATIENCE = 10.0  # seconds that the end of training waits for a tracker
PREVIEW = "preview"
_PREVIEW = re.compile(rf"{PREVIEW}-([0-9]{{8,18}})\.png")


class Report:
    """What a run has for the tracker `name`, beginning where earlier reports ended."""

    def __init__(self, folder: RunFolder, settings: Settings, name: str) -> None:
        self.folder, self.name = folder, name
        self.states = folder.read_json(folder.path / "trackers.json") or {}
        state = {} if name in REWRITTEN else self.states.get(name, {})
        self.identity = str(state.get("id") or uuid.uuid4().hex[:8])
        self.rows, self.given = int(state.get("rows", 0)), dict(state.get("given", {}))
        self.before = dict(self.given)  # lines up to there were given in earlier sessions
        self.offset, self.seconds = 0, 0.0
        flat = {key: _setting(settings, key) for key in all_settings(Settings)}
        self.tracker = TRACKERS[name](TrackedRun(folder.path, self.identity, flat, self.rows, _began(folder)))

    def update(self) -> None:
        """Give the tracker what was written since the last time."""
        lines, self.offset = MetricsFile(self.folder.metrics).after(self.offset)
        for line in lines:
            self.seconds = line.get("seconds", self.seconds)
            if self._new(kind_of(line), line["images"]):
                self.tracker.log(row_of(line), line["images"], self.seconds)
        for path in sorted(self.folder.samples.glob(f"{PREVIEW}-*.png")):
            found = _PREVIEW.fullmatch(path.name)
            if found and int(found[1]) > self.given.get(PREVIEW, -1) and self._new(PREVIEW, int(found[1])):
                self.tracker.show(path, int(found[1]), self.seconds)
        self.tracker.flush()
        self._remember()

    def close(self) -> None:
        """Give it the rest, and end the session."""
        self.update()
        self.tracker.close()

    def _new(self, kind: str, images: int) -> bool:
        if images <= self.before.get(kind, -1):
            return False
        self.given[kind] = max(images, self.given.get(kind, -1))
        self.rows += 1
        return True

    def _remember(self) -> None:
        state = {"id": self.identity, "rows": self.rows, "given": self.given}
        if self.name not in REWRITTEN and self.states.get(self.name) != state:
            self.states[self.name] = {**state, "given": dict(self.given)}
            write_stored(self.folder.path / "trackers.json", self.states)


def report_run(folder: RunFolder, settings: Settings, name: str) -> str:
    """Report a run to the tracker `name`; returns where to look.

    Raises:
        UsageError: it is unknown or not installed.
        BusyError: another process reports this run.
        WriteError: it fails.
    """
    check_tracker(name)
    with folder.locked("report"):
        try:
            report = Report(folder, settings, name)
            report.close()
        except FromNoiseError:
            raise
        except Exception as error:  # of a library: any
            raise WriteError(f"{name} failed ({first_line(error)[:200]}); try again when that is put right") from error
    return report.tracker.where


def tracked(folder: RunFolder, settings: Settings, steps: Iterator[T]) -> Iterator[T]:
    """`steps`, and meanwhile what they write is reported to `train.report_to`, where that is set."""
    name = settings.train.report_to
    if name is None:
        yield from steps
        return
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(folder, settings, name, done), daemon=True)
    thread.start()
    try:
        yield from steps
    finally:
        done.set()
        thread.join(PATIENCE)
        if thread.is_alive():
            report_progress(f"warning: {name} does not answer and is left; {_later(folder, name)}")


def _follow(folder: RunFolder, settings: Settings, name: str, done: threading.Event) -> None:
    """Report until `done`. Whatever fails is said once; training goes on."""
    try:
        with folder.locked("report"):
            report = Report(folder, settings, name)
            report_progress(f"reporting to {name}: {report.tracker.where}")
            while not done.wait(INTERVAL):
                report.update()
            report.close()
    except (Exception, SystemExit) as error:
        report_progress(f"warning: {name} failed ({first_line(error)[:200]}) and gets no more; {_later(folder, name)}")


def _later(folder: RunFolder, name: str) -> str:
    return f"nothing is lost: `fromnoise show {quoted(folder.path)} --report_to {name}` reports it later"


def _setting(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    value = getattr(getattr(settings, section), key)
    return list(value) if isinstance(value, tuple) else value


def _began(folder: RunFolder) -> float:
    """When training began, had it not been interrupted: the last line's time less its seconds."""
    seconds = [line["seconds"] for line in folder.read_metrics() if "seconds" in line]
    return Path(folder.metrics).stat().st_mtime - seconds[-1] if seconds else Path(folder.path).stat().st_mtime
