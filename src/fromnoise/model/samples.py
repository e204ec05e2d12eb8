"""Samples: images with the seeds and labels that they came from, and how they are written."""

from __future__ import annotations

import io
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes, write_files
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.outputs import SAMPLE_KINDS, output_kind
from fromnoise.common.text import file_part
from fromnoise.diffusion.process import Process
from fromnoise.figures.animation import animate
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid, save


@dataclass(frozen=True)
class Samples:
    """Samples of a model.

    images: uint8 (N, H, W, C). seeds: one per sample. labels: one per sample, or None. steps: the images after each
    step of sampling, where they were kept. evaluations: network evaluations (NFE) for each sample. classes: the names
    of the labels 0, 1, ..., which are written into files: bare numbers would not say of which class a sample is.
    conditions: the numbers that the samples are conditioned on, one per sample, by name.
    """

    images: Any
    seeds: list[int]
    labels: list[int] | None
    steps: list[Any] = field(default_factory=list)
    evaluations: int = 0
    classes: tuple[str, ...] = ()
    conditions: Mapping[str, list[float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape))
        labels = "" if self.labels is None else f", labels {reprlib.repr(self.labels)}"
        return f"Samples({shape}, seeds {self.seeds[0]} to {self.seeds[-1]}{labels}, NFE {self.evaluations})"

    def save(self, path: str | Path) -> Path:
        """Write by the ending of `path`: .png a grid, .gif the steps, .npz arrays, no ending a folder of PNGs.

        Raises UsageError for an ending that names another kind of file, WriteError where nothing can be written.
        """
        kind, path = output_kind(path, SAMPLE_KINDS, "samples"), Path(path)
        if kind == ".png":
            return save(grid(self.images), path)
        if kind == ".npz":
            return write_bytes(path, self._npz())
        if kind == ".gif":
            if not self.steps:
                raise UsageError("a .gif shows the steps of sampling; make these samples with keep_steps=True")
            return animate([grid(images) for images in self.steps], path)
        return self._save_folder(path)

    def _class(self, label: int) -> str:
        """A label's name as part of a file's."""
        return file_part(self.classes[label]) if self.classes else str(label)

    def _npz(self) -> bytes:
        arrays = {"images": self.images, "seeds": np.array(self.seeds, dtype=np.int64)}
        if self.labels is not None:
            arrays["labels"] = np.array(self.labels, dtype=np.int64)
            if self.classes:
                arrays["classes"] = np.array(self.classes)
        arrays |= {name: np.array(values, dtype=np.float32) for name, values in self.conditions.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    def _save_folder(self, path: Path) -> Path:
        def files() -> Iterator[tuple[Path, bytes]]:
            for i, (image, seed) in enumerate(zip(self.images, self.seeds, strict=True)):
                label = f"-label{self._class(self.labels[i])}" if self.labels is not None else ""
                yield path / f"seed{seed:06d}{label}.png", png_bytes(to_image(image), "sample")

        write_files(files())  # half a set of images would be worse than none
        return path


def to_image(array: Any) -> Image.Image:
    """uint8 (H, W, C) as a Pillow image, with its alpha channel where there is one."""
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def to_arrays(spec: ImageSpec, x: Tensor) -> Any:
    """Float (B, C, H, W) in the spec's range to uint8 numpy (B, H, W, C)."""
    return spec.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def noisy_arrays(process: Process, spec: ImageSpec, x: Tensor, t: float) -> Any:
    """x (B, C, H, W) at t as uint8 (B, H, W, C); scaled down where its size grows, as on VE."""
    alpha, sigma = process.scales(torch.tensor([t], dtype=torch.float64))
    return to_arrays(spec, x / max(1.0, math.hypot(float(alpha), float(sigma))))
