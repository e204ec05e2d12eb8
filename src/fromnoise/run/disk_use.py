"""What a run will take on the disk, beside what is free there: said before training, not when the disk is full."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import WriteError
from fromnoise.common.files import bytes_in, disk_free
from fromnoise.common.text import count, in_bytes
from fromnoise.run.folder import RunFolder
from fromnoise.settings import TrainOptions
from fromnoise.train.state_size import StateSize, snapshots_after

PREVIEW_BYTES = 500_000  # about, of a preview's PNG, where none has been drawn yet


@dataclass(frozen=True)
class DiskUse:
    """Bytes on the disk of a run folder.

    Arguments:
        checkpoint: of one checkpoint. checkpoints: how many lie there at once at most, the best one and the one that
            is being written among them.
        averages: of the snapshots of the averages, at most.
        previews: of the preview grids.
        there: of these, what an earlier session left already.
        free: on that disk.
    """

    checkpoint: int
    checkpoints: int
    averages: int
    previews: int
    there: int
    free: int

    @property
    def needed(self) -> int:
        """All of it at its largest."""
        return self.checkpoint * self.checkpoints + self.averages + self.previews

    @property
    def short(self) -> int:
        """How many of the bytes that are still to be written do not fit; 0 where all do."""
        return max(0, self.needed - self.there - self.free)

    def __str__(self) -> str:
        kept = f"{count(self.checkpoints, 'checkpoint')} of {in_bytes(self.checkpoint)}"
        parts = f"averages {in_bytes(self.averages)}, previews {in_bytes(self.previews)}"
        words = f"up to {in_bytes(self.needed)} ({kept}, {parts}); {in_bytes(self.free)} free"
        return f"{words}: {in_bytes(self.short)} too little, free some" if self.short else words

    def check(self, path: Path) -> None:
        """WriteError where not even one more checkpoint fits."""
        if self.free < self.checkpoint:
            raise WriteError(
                f"a checkpoint takes {in_bytes(self.checkpoint)}, but only {in_bytes(self.free)} are free for {path}; "
                "free some space, or choose another --output_dir"
            )


def disk_use(
    folder: RunFolder,
    options: TrainOptions,
    size: StateSize,
    *,
    steps: int | None = None,
    written: float = math.inf,
    preview: int = PREVIEW_BYTES,
) -> DiskUse:
    """The DiskUse of a run.

    Arguments:
        size: of the network that is trained with `options`.
        steps: of the whole run, None where that is not known yet.
        written: how many checkpoints the whole run writes; as many as are kept, and more, if not given.
        preview: bytes of one preview.
    """
    kept = options.checkpoints_kept + 1  # the best one stays besides
    at_once = kept + 1 if written > kept else max(1, round(written))
    return DiskUse(
        size.checkpoint,
        at_once,
        snapshots_after(steps) * size.snapshot,
        options.previews * preview,
        sum(bytes_in(place) for place in (folder.checkpoints, folder.averages, folder.samples)),
        disk_free(folder.path),
    )


def disk_use_of(folder: RunFolder, options: TrainOptions, metadata: Mapping[str, Any]) -> DiskUse | None:
    """The same from config.json before anything is measured; None for a run whose config.json holds no sizes."""
    return disk_use(folder, options, StateSize(**metadata["bytes"])) if metadata.get("bytes") else None
