"""A run folder on disk: where things are, what is written down, and who may work in it.

config.toml   what was requested      metrics.jsonl  one line every few steps, and events
config.json   all that follows        checkpoints/   averages/   samples/   edits/   figures/   report.html
session.json  how the last training session went
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import BusyError, CheckpointError, UsageError, WriteError
from fromnoise.common.files import remove_empty, write_bytes
from fromnoise.common.leftovers import sweep
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.common.text import count
from fromnoise.run.metrics_file import MetricsFile
from fromnoise.run.migrate import FORMAT, migrated_settings
from fromnoise.run.record import read_record
from fromnoise.train.checkpoint_files import sweep_checkpoints

_ADVICE = "choose another --output_dir"
_LOOK = 0.5  # seconds: many times what `fromnoise.run.status` holds a lock to see whether it is free


@dataclass(frozen=True)
class RunFolder:
    """The places in the run folder at `path`."""

    path: Path

    @property
    def config(self) -> Path:
        """config.json: everything resolved."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """checkpoints/<images seen>/."""
        return self.path / "checkpoints"

    @property
    def session(self) -> Path:
        """session.json: whether a training goes on, and how the last one ended; see `fromnoise.run.status`."""
        return self.path / "session.json"

    @property
    def initial_weights(self) -> Path:
        """init.safetensors: the weights that a run with --init starts from."""
        return self.path / "init.safetensors"

    @property
    def averages(self) -> Path:
        """averages/<steps>.safetensors: what averages of other lengths are made of."""
        return self.path / "averages"

    @property
    def trajectories(self) -> Path:
        """trajectories/: what a distillation learns from, until it is finished; see `fromnoise.run.distilling`."""
        return self.path / "trajectories"

    @property
    def samples(self) -> Path:
        """samples/: previews and what `sample` makes."""
        return self.path / "samples"

    @property
    def edits(self) -> Path:
        """edits/: what `edit` makes."""
        return self.path / "edits"

    @property
    def figures(self) -> Path:
        """figures/: drawn figures."""
        return self.path / "figures"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    @property
    def evaluation(self) -> Path:
        """evaluation.json: how good the samples are."""
        return self.path / "evaluation.json"

    @property
    def diagnosis(self) -> Path:
        """diagnosis.json: what was found wrong, and what to do."""
        return self.path / "diagnosis.json"

    @property
    def sweep(self) -> Path:
        """sweep.json: quality against ways of sampling."""
        return self.path / "sweep.json"

    def exists(self) -> bool:
        """Whether a run was begun here; CheckpointError where that cannot be seen."""
        try:
            return self.config.exists()
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be read ({error.strerror}); allow reading it") from error

    def create(self, requested: dict[str, Any], record: dict[str, Any], initial: bytes = b"") -> None:
        """Make the folder with config.toml and config.json; WriteError where that cannot be.

        config.json is written last and in one piece: a folder that has it is a run.

        initial: weights to start from, as a safetensors file.
        """
        self.check_vacant(requested)
        place = self.path / "config.toml"
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            write_bytes(place, to_toml(requested).encode(), advice=_ADVICE)
            if initial:
                write_bytes(self.initial_weights, initial, durable=True, advice=_ADVICE)
            write_stored(self.config, {"format": FORMAT, **record}, durable=True, advice=_ADVICE)
        except BaseException:  # an interruption leaves no half of a run, either
            self.uncreate(made)
            raise

    def uncreate(self, made: Sequence[Path] = ()) -> None:
        """Remove what `create` wrote, and the folders that it made: those that hold anything else resist."""
        with suppress(OSError):
            for path in (self.config, self.path / "config.toml", self.initial_weights):
                path.unlink(missing_ok=True)
        remove_empty(made or (self.path,))

    def clear_leftovers(self) -> None:
        """Delete what ended processes left half written. Only for who holds the folder."""
        sweep_checkpoints(self.checkpoints)
        for folder in (self.checkpoints, self.averages):
            sweep(folder, alone=True)
        for folder in (self.path, self.samples, self.edits, self.figures, self.trajectories):
            sweep(folder)

    def check_vacant(self, requested: dict[str, Any]) -> None:
        """UsageError for a folder with a config.toml that no run wrote: it is somebody's own."""
        place = self.path / "config.toml"
        if place.exists() and place.read_bytes() != to_toml(requested).encode():
            raise UsageError(
                f"{self.path} holds a config.toml, but no run; choose another --output_dir, so that it is kept"
            )

    def rewrite(self, requested: dict[str, Any] | None, record: dict[str, Any]) -> None:
        """Write changed settings: config.toml, unless `requested` is None, and config.json. Raises WriteError."""
        advice = "free some space, or allow writing there"
        if requested is not None:
            write_bytes(self.path / "config.toml", to_toml(requested).encode(), advice=advice)
        write_stored(self.config, {**record, "format": FORMAT}, durable=True, advice=advice)

    def read_request(self) -> dict[str, Any] | None:
        """config.toml: what was requested when the run was begun; None where it cannot be read."""
        try:
            tables = tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return migrated_settings(tables)

    def read_record(self) -> dict[str, Any]:
        """config.json; CheckpointError where this is not a run folder, or it is damaged, or of a newer fromnoise."""
        if not self.exists():
            raise CheckpointError(
                f"not a run folder: {self.path} (config.json is missing); give a folder that `fromnoise train` made"
            )
        return read_record(self.config)

    def append_metrics(self, lines: list[dict[str, Any]]) -> None:
        """Add lines to metrics.jsonl, all of them or none; WriteError where that cannot be."""
        MetricsFile(self.metrics).append(lines)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; damaged ones are left out."""
        return MetricsFile(self.metrics).read()[0]

    def damaged_metrics(self) -> int:
        """How many lines of metrics.jsonl are damaged."""
        return MetricsFile(self.metrics).read()[1]

    def read_json(self, path: Path) -> dict[str, Any] | None:
        """What a verb wrote to `path`, None where nothing is; CheckpointError where it is damaged."""
        try:
            return read_stored(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CheckpointError(f"{path} is damaged ({reason}); delete it, and make it again") from error

    def rewind_metrics(self, images: int) -> None:
        """Drop the lines beyond `images`: training goes on from a checkpoint there and will write them again."""
        damaged = MetricsFile(self.metrics).rewind(images)
        if damaged:
            report_progress(f"{count(damaged, 'damaged line')} of {self.metrics} left out")

    def check_present(self) -> None:
        """WriteError where the folder was moved or deleted, or cannot be reached any more."""
        try:
            self.config.stat()
        except OSError as error:
            raise WriteError(
                f"the run folder {self.path} is gone ({error.strerror}); put it back to continue from its last "
                "checkpoint, or train into another --output_dir"
            ) from error

    def check_writable(self) -> None:
        """WriteError where training could not write later: said before it begins."""
        self.check_present()
        for folder in (self.path, self.checkpoints, self.averages, self.samples):
            if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
                raise WriteError(f"cannot write in {folder}; allow it, or {_ADVICE}")
        if self.metrics.exists() and not (self.metrics.is_file() and os.access(self.metrics, os.R_OK | os.W_OK)):
            raise WriteError(f"cannot write {self.metrics}; allow it, or {_ADVICE}")

    @contextmanager
    def locked(self, work: str = "train") -> Iterator[None]:
        """Hold the folder for one process that does this work; BusyError while another does the same.

        A killed process lets go of it. WriteError for a folder that cannot be written in.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path / ("run.lock" if work == "train" else f"{work}.lock"))
        try:
            lock.acquire(timeout=_LOOK, poll_interval=_LOOK / 50)
        except Timeout as error:
            raise BusyError(
                f"another process is at work in {self.path} ({work}); wait for it"
                + (", or choose another --output_dir" if work == "train" else "")
            ) from error
        except OSError as error:
            raise WriteError(
                f"cannot write in {self.path}: {error.strerror}; allow it, or "
                + ("choose another --output_dir" if work == "train" else "copy it to a folder that you may write to")
            ) from error
        try:
            yield
        finally:
            lock.release()


def to_toml(tables: Mapping[str, Any]) -> str:
    """Values and tables of values as TOML; the standard library reads it and does not write it."""
    tops = [(name, value) for name, value in tables.items() if not isinstance(value, Mapping)]
    sections = [(f"\n[{name}]", table) for name, table in tables.items() if isinstance(table, Mapping)]
    lines = [f"{name} = {_toml_value(value)}" for name, value in tops]
    for head, table in sections:
        lines += [head, *(f"{name} = {_toml_value(value)}" for name, value in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"{value!r} cannot be written as TOML")
