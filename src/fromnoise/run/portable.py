"""A run that is taken elsewhere: packed into one file, and reported to trackers."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from fromnoise.run.opened import OpenedRun


class PortableRun(OpenedRun):
    """See `OpenedRun`."""

    def pack(self, path: str | Path | None = None, *, resumable: bool = False) -> Path:
        """Write the run as one .zip for somebody who has fromnoise; returns its path: see `fromnoise.run.bundle`."""
        from fromnoise.run.bundle import pack_run

        return pack_run(self, path, resumable=resumable)

    @classmethod
    def unpack(cls, file: str | Path, output_dir: str | Path | None = None, *, device: str = "auto") -> Self:
        """Open the run that `pack` wrote to `file`, unpacked into `output_dir`: see `fromnoise.run.bundle`."""
        from fromnoise.run.bundle import unpack_run

        return cls(unpack_run(file, output_dir), device=device)

    def report_to(self, name: str) -> str:
        """Report the run to "tensorboard", "wandb" or "trackio"; returns where to look.

        Raises UsageError where it is not installed, and WriteError where it fails: see `fromnoise.run.tracking`.
        """
        from fromnoise.run.tracking import report_run

        return report_run(self.folder, self.settings, name)
