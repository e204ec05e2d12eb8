"""metrics.jsonl as curves: read on from where it ended last time, and thinned to what a screen can show.

Of each of `points` equal stretches of the axis the lowest, the highest and the mean of the running mean remain.
"""

from __future__ import annotations

import math
import stat
import threading
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.figures.smoothing import running_mean
from fromnoise.run.metrics_file import MetricsFile

COLUMNS = ("images", "seconds", "loss", "images_per_second", "learning_rate")
EVENTS = 2000  # the newest that are kept
_END = 64  # bytes before the place that was read to, by which a file is known to be the one that was read
_MOST_LOGS = 24  # runs whose curves stay in memory

Numbers = NDArray[np.float64]


@dataclass
class RunLog:
    """The lines of the metrics.jsonl at `path`; `update` reads what was added since."""

    path: Path
    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in COLUMNS})
    events: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0
    _file: tuple[int, int] = (0, 0)
    _end: bytes = b""

    def update(self) -> None:
        """Read on; from the start where the file is another or was cut, as a resume does."""
        try:
            about = self.path.stat()
            if not stat.S_ISREG(about.st_mode):  # a pipe would never end
                return
            if (about.st_dev, about.st_ino) != self._file or self._ending() != self._end:
                self.__init__(self.path)  # type: ignore[misc]
                self._file = about.st_dev, about.st_ino
            lines, self._read = MetricsFile(self.path).after(self._read)
            self._end = self._ending()
        except OSError:
            return
        for line in lines:
            self._take(line)
        del self.events[:-EVENTS]

    def _ending(self) -> bytes:
        """The last bytes that were read, as they are in the file now: others where it was cut and has grown again."""
        begin = max(0, self._read - _END)
        with self.path.open("rb") as file:
            file.seek(begin)
            return file.read(self._read - begin)

    def _take(self, line: Mapping[str, Any]) -> None:
        if "event" in line:
            self.events.append(dict(line))
            return
        for name, column in self.columns.items():
            value = line.get(name)
            fits = isinstance(value, int | float) and not isinstance(value, bool)
            column.append(float(value) if fits and value is not None else math.nan)

    def column(self, name: str) -> Numbers:
        """A column as it is now."""
        return np.array(self.columns[name], dtype=np.float64)


@dataclass
class Logs:
    """The logs of the runs that were looked at last."""

    _logs: OrderedDict[Path, RunLog] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def curves(self, path: Path, window: Window) -> dict[str, Any]:
        """The curves of the run whose metrics.jsonl is `path`."""
        with self._lock:
            log = self._logs.pop(path, None) or RunLog(path)
            self._logs[path] = log
            while len(self._logs) > _MOST_LOGS:
                self._logs.popitem(last=False)
            log.update()
            return curves(log, window)


@dataclass(frozen=True)
class Window:
    """Which part of the curves is wanted, and how fine.

    Arguments:
        by: the axis, "images" or "seconds".
        first, last: its ends.
        points: stretches.
        smoothing: the part of the whole that the running mean averages over; 0 for none.
    """

    by: str = "images"
    first: float = -math.inf
    last: float = math.inf
    points: int = 600
    smoothing: float = 0.04


def curves(log: RunLog, window: Window) -> dict[str, Any]:
    """Loss and speed thinned, with the events in the window; `span` is the whole axis."""
    axis, loss = log.column(window.by), log.column("loss")
    half = round(len(loss) * window.smoothing / 2)
    smooth = running_mean(loss, half) if half and len(loss) else loss
    inside = [event for event in log.events if window.first <= _place(event, window.by) <= window.last]
    return {
        "by": window.by,
        "count": len(axis),
        "span": [float(axis[0]), float(axis[-1])] if len(axis) else None,
        "loss": {**thin(axis, loss, window), "smooth": thin(axis, smooth, window)["mean"]},
        "speed": thin(axis, log.column("images_per_second"), window),
        "rate": thin(axis, log.column("learning_rate"), window),
        "events": inside,
    }


def thin(axis: Numbers, values: Numbers, window: Window) -> dict[str, list[float]]:
    """{x, low, high, mean} of each stretch of the window that holds values."""
    there = np.isfinite(axis) & np.isfinite(values) & (axis >= window.first) & (axis <= window.last)
    x, y = axis[there], values[there]
    if not len(x):
        return {"x": [], "low": [], "high": [], "mean": []}
    if len(x) > window.points:
        width = (x[-1] - x[0]) / window.points or 1.0
        stretch = np.minimum(((x - x[0]) / width).astype(np.int64), window.points - 1)
        starts = np.flatnonzero(np.diff(stretch, prepend=-1))
    else:
        starts = np.arange(len(x))
    counts = np.diff(np.append(starts, len(x)))
    return {
        "x": (np.add.reduceat(x, starts) / counts).tolist(),
        "low": np.minimum.reduceat(y, starts).tolist(),
        "high": np.maximum.reduceat(y, starts).tolist(),
        "mean": (np.add.reduceat(y, starts) / counts).tolist(),
    }


def _place(event: Mapping[str, Any], by: str) -> float:
    value = event.get(by)
    return float(value) if isinstance(value, int | float) else math.nan
