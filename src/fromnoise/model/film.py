"""Samples of the same seeds while one condition goes from one value to another, as a GIF, a sheet or arrays.

    model.film("slant", -0.5, 0.5, seeds=range(8)).save("slant.gif")

Noise, classes and all other numbers stay each seed's own, so that what moves is what the condition means to the model.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.outputs import FILM_KINDS, output_kind
from fromnoise.figures.animation import animate
from fromnoise.figures.grid import grid, save
from fromnoise.model.samples import Samples

_HOLD = 0.4  # seconds at an end


@dataclass(frozen=True)
class Film:
    """name: of the condition. values: of each frame. frames: the samples of all seeds at each value."""

    name: str
    values: Sequence[float]
    frames: Sequence[Samples]

    @property
    def images(self) -> Any:
        """uint8 (frames, N, H, W, C)."""
        return np.stack([frame.images for frame in self.frames])

    def save(self, path: str | Path) -> Path:
        """Write by the ending of `path`: .png a row for each seed, .gif there and back again, .npz arrays.

        Raises UsageError for any other ending, WriteError where nothing can be written.
        """
        kind, path = output_kind(path, FILM_KINDS, "a film"), Path(path)
        if kind == ".png":
            captions = [f"{value:.3g}" for value in self.values] * len(self.frames[0].seeds)
            images = self.images.swapaxes(0, 1).reshape(-1, *self.images.shape[2:])
            return save(grid(images, columns=len(self.frames), captions=captions), path)
        if kind == ".gif":
            there = [grid(frame.images) for frame in self.frames]
            return animate([*there, *there[-2::-1]], path, hold=_HOLD)
        if kind == ".npz":
            buffer = io.BytesIO()
            seeds = np.array(self.frames[0].seeds, dtype=np.int64)
            arrays: dict[str, Any] = {"images": self.images, "seeds": seeds, self.name: np.array(self.values)}
            np.savez_compressed(buffer, **arrays)
            return write_bytes(path, buffer.getvalue())
        raise UsageError(f"a film cannot be written as a folder ({path}); give a {', '.join(FILM_KINDS)}")
