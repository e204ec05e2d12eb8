"""The runs below a folder: found by looking, read again only where a file has changed.

A run is named by a digest of its place below the folder, so that no path ever comes from a client.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromnoise.run.folder import RunFolder
from fromnoise.studio.summary import summary

MOST_RUNS = 5000
_DEEPEST = 4
_MOST_FOLDERS = 20_000
_WATCHED = ("config.json", "session.json", "metrics.jsonl", "evaluation.json", "samples", "figures", "checkpoints")

Row = dict[str, Any]
Signature = tuple[tuple[int, int], ...]


@dataclass
class _Known:
    """A run as it was last read."""

    path: Path
    name: str
    signature: Signature
    row: Row


@dataclass
class RunIndex:
    """The runs below `root`, or the one that it is.

    Safe to use from several threads: one looks, the others wait.
    """

    root: Path
    _known: dict[str, _Known] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self) -> dict[str, Row]:
        """What is known of every run, by its id; looks at the folder again."""
        with self._lock:
            found = {run_id(name): (name, path) for name, path in _runs(self.root)}
            self._known = {run: known for run, known in self._known.items() if run in found}
            for run, (name, path) in found.items():
                self._look(run, name, path)
            return {run: known.row for run, known in self._known.items()}

    def folder(self, run: str) -> RunFolder | None:
        """The folder of a listed run; None for an id that is not listed."""
        known = self._listed(run)
        if known is None:
            self.rows()
            known = self._listed(run)  # another thread may have looked since, and found it gone
        return RunFolder(known.path) if known is not None and is_run(known.path) else None

    def row(self, run: str) -> Row | None:
        """What is known of one run, looked at again; None where it is not there."""
        with self._lock:
            known = self._known.get(run)
            if known is not None and is_run(known.path):
                self._look(run, known.name, known.path)
                return self._known[run].row
        return self.rows().get(run)

    def _listed(self, run: str) -> _Known | None:
        with self._lock:
            return self._known.get(run)

    def _look(self, run: str, name: str, path: Path) -> None:
        """Read the run in `path` again if a file of it has changed, or if it trains."""
        signature, known = _signature(path), self._known.get(run)
        if known is not None and known.signature == signature and known.row["state"] != "training":
            return
        row = {"id": run, "name": name, **summary(RunFolder(path))}
        self._known[run] = _Known(path, name, signature, row)


def run_id(name: str) -> str:
    """The id of the run at the place `name` below the folder."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _runs(root: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of every run: `root` itself, or what lies at most _DEEPEST below. Links are not followed."""
    if is_run(root):
        yield root.resolve().name, root
        return
    waiting, looked, found = [(root, 0)], 0, 0
    while waiting and looked < _MOST_FOLDERS and found < MOST_RUNS:
        folder, depth = waiting.pop()
        looked += 1
        try:
            with os.scandir(folder) as entries:
                inside = [
                    one.name for one in entries if not one.name.startswith(".") and one.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue
        for name in inside:
            path = folder / name
            if is_run(path):
                found += 1
                yield path.relative_to(root).as_posix(), path
            elif depth + 1 < _DEEPEST:
                waiting.append((path, depth + 1))


def is_run(path: Path) -> bool:
    """Whether a run was begun in `path`; False where nobody may look."""
    return os.path.isfile(path / "config.json")  # noqa: PTH113 - Path's own raises there


def _signature(path: Path) -> Signature:
    """Sizes and times of what a row is made of."""
    found = []
    for name in _WATCHED:
        try:
            about = (path / name).stat()
            found.append((about.st_mtime_ns, about.st_size))
        except OSError:
            found.append((0, 0))
    return tuple(found)
