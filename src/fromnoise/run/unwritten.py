"""A run folder that nothing is written to: for a dry run, and for processes beside the one that writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromnoise.common.files import check_writable
from fromnoise.run.folder import RunFolder


@dataclass(frozen=True)
class DryRunFolder(RunFolder):
    """A run folder in which nothing is written: config.json of a new run is kept in memory."""

    record: dict[str, Any] = field(default_factory=dict, compare=False)

    def create(self, requested: dict[str, Any], record: dict[str, Any], initial: bytes = b"") -> None:
        """Keep `record`; raises what making the folder would."""
        self.check_vacant(requested)
        check_writable(self.config)
        self.record.update(record)

    def uncreate(self, made: Sequence[Path] = ()) -> None:
        """Nothing was written."""

    def rewrite(self, requested: dict[str, Any] | None, record: dict[str, Any]) -> None:
        """Keep `record`."""
        self.record.update(record)

    def read_record(self) -> dict[str, Any]:
        """config.json, or what `create` has kept."""
        return self.record or super().read_record()

    def check_writable(self) -> None:
        """WriteError where training could not write later."""
        if self.exists():
            super().check_writable()

    @contextmanager
    def locked(self, work: str = "train") -> Iterator[None]:
        """Hold the folder where somebody held it before; where there is no lock, nobody is at work."""
        with super().locked(work) if (self.path / "run.lock").exists() else nullcontext():
            yield


@dataclass(frozen=True)
class FollowedFolder(DryRunFolder):
    """The folder of a run that process 0 writes, with the `record` that it has given; it need not exist here."""

    def check_writable(self) -> None:
        """Process 0 does."""

    @contextmanager
    def locked(self, work: str = "train") -> Iterator[None]:
        """Process 0 holds it."""
        yield
