"""The result of an edit: images, what they were made from, the steps in between, and how all of it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fromnoise.common.files import write_bytes, write_files
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.outputs import EDIT_KINDS, output_kind
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.loop import Step
from fromnoise.editing.sampling import EditSampling
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.figures.image_rows import rows
from fromnoise.model.samples import noisy_arrays, to_arrays, to_image

MOST_FRAMES = 100  # that are kept of a longer way
STRIP_COLUMNS = 8
STRIP_IMAGES = 3
_GAIN = 8  # how much larger than it is a difference is drawn


@dataclass(frozen=True)
class Frame:
    """Images between two steps: x at time t, and the x0 prediction made from it; both uint8 (N, H, W, C)."""

    t: float
    x: Any
    x0: Any


@dataclass(frozen=True)
class Edit:
    """The result of an edit.

    Arguments:
        images: uint8 (N, H, W, C), named by `names`.
        given: (caption, uint8 (1, H, W, C)) of what they were made from.
        frames: the way to the images.
        inversion: the way from the given images to noise, where there is one.
        noise: float (N, C, H, W), the inverted images, so that they can be sampled from again.
        facts: numbers, plain enough for JSON.
        notes: sentences for people.
    """

    action: str
    images: Any
    names: list[str]
    given: list[tuple[str, Any]]
    frames: list[Frame]
    inversion: list[Frame] = field(default_factory=list)
    noise: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def figure(self) -> Image.Image:
        """The given images and the result, side by side."""
        if self.noise is not None:
            return self._round_trip()
        titles, inputs = zip(*self.given, strict=True) if self.given else ((), ())
        return grid(np.concatenate([*inputs, self.images]), captions=[*titles, *self.names])

    def strip(self) -> Image.Image:
        """Up to three of the images at eight of the frames, and below each the x0 prediction made there.

        After an inversion the columns are times, so that the way to noise stands above the way back.
        """
        frames = [self.frames[i] for i in evenly_spaced(len(self.frames), STRIP_COLUMNS)]
        titled = []
        for row in evenly_spaced(len(self.names), STRIP_IMAGES):
            name = self.names[row]
            if self.inversion:
                titled += _titled_pair(f"{name}: to noise (right to left)", self._inversion_beside(frames), row)
            titled += _titled_pair(f"{name}: {'back' if self.inversion else 'x'}", frames, row)
        return rows(titled, [f"t = {frame.t:.3g}" for frame in frames], beside=True)

    def _inversion_beside(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames of the inversion at the times of `frames`, from the given images to where both ways meet."""
        given = np.concatenate([pixels for _, pixels in self.given])
        between = [min(self.inversion[:-1], key=lambda frame: abs(frame.t - there.t)) for there in frames[1:-1]]
        return [frames[0], *between, Frame(frames[-1].t, given, given)]

    def save(self, path: str | Path) -> Path:
        """Write by the ending of `path`: .png the figure, .gif an animation of the steps, else a folder of PNGs.

        The strip goes beside a .png, as <name>-steps.png, or into the folder, as steps.png. Raises UsageError for
        another ending, and WriteError where not all can be written; then nothing is.
        """
        kind, path = output_kind(path, EDIT_KINDS, "an edit"), Path(path)
        if kind == ".gif":
            return write_bytes(path, gif_bytes([grid(frame.x, side=480) for frame in self.frames]))
        if kind == ".png":
            write_files([(strip_beside(path), png_bytes(self.strip())), (path, png_bytes(self.figure()))])
            return path
        files = {
            path / f"{number:03d}-{name.replace(' ', '')}.png": png_bytes(to_image(image), "sample")
            for number, (name, image) in enumerate(zip(self.names, self.images, strict=True))
        }
        write_files([*files.items(), (path / "steps.png", png_bytes(self.strip()))])
        return path

    def _round_trip(self) -> Image.Image:
        """The given images, their noise, what was sampled from it, and the difference."""
        given = np.concatenate([pixels for _, pixels in self.given])
        far = (self.images.astype(np.int16) - given) * _GAIN + 128
        difference = np.clip(far, 0, 255).astype(np.uint8)
        if given.shape[-1] == 4:
            difference[..., 3] = 255
        noise = ("its noise", self.frames[0].x)
        back = ("sampled back from the noise", self.images)
        titled = [("given", given), noise, back, (f"difference, times {_GAIN}", difference)]
        return rows(titled, [f"error {error:.1f}" for error in self.facts["error"]], beside=True)


def strip_beside(path: Path) -> Path:
    """Where the strip of the figure at `path` goes."""
    return path.with_name(f"{path.stem}-steps.png")


def collect(sampling: EditSampling, count: int, steps: Callable[[slice], Iterator[Step]]) -> tuple[Tensor, list[Frame]]:
    """(x (N, C, H, W) at the end, the frames before it) of `count` images; `steps` samples those of a slice.

    Of many steps only every n-th is kept. x before a step is alpha x0_hat + sigma eps_hat. The last frame has no x0
    prediction; the image itself stands in its place.
    """
    process, spec = sampling.estimator.process, sampling.estimator.spec
    every = -(-(len(sampling.grid) - 1) // MOST_FRAMES)
    ends, batches = [], []
    for begin in range(0, count, sampling.batch_size):
        frames = []
        for step in steps(slice(begin, begin + sampling.batch_size)):
            if step.i % every == 0:
                frames.append(_frame(process, spec, step))
        end = noisy_arrays(process, spec, step.x, step.s)
        batches.append([*frames, Frame(step.s, end, end)])
        ends.append(step.x.cpu())
    return torch.cat(ends), [
        Frame(parts[0].t, np.concatenate([p.x for p in parts]), np.concatenate([p.x0 for p in parts]))
        for parts in zip(*batches, strict=True)
    ]


def _frame(process: Process, spec: ImageSpec, step: Step) -> Frame:
    estimate = step.estimate
    t = torch.full((len(estimate.x0),), step.t, dtype=torch.float64)
    x = process.corrupt(estimate.x0, estimate.eps, t)
    return Frame(step.t, noisy_arrays(process, spec, x, step.t), to_arrays(spec, estimate.x0))


def rms_error(spec: ImageSpec, x: Tensor, x0: Tensor) -> list[float]:
    """The root mean square difference of each x (N, C, H, W) from x0, in grey levels of 255."""
    levels = 255 / (spec.high - spec.low)
    return [round(float(rms), 4) for rms in (x.cpu() - x0.cpu()).square().flatten(1).mean(1).sqrt() * levels]


def evenly_spaced(count: int, most: int) -> list[int]:
    """Up to `most` of the numbers below `count`, evenly spaced, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


def _titled_pair(title: str, frames: Sequence[Frame], image: int) -> list[tuple[str, Any]]:
    """Two titled rows: one image in each frame, and its x0 prediction there."""
    x, x0 = (np.stack([getattr(frame, name)[image] for frame in frames]) for name in ("x", "x0"))
    return [(title, x), ("x0 prediction", x0)]
