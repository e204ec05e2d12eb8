"""The path from noise to samples, step by step: as a strip, as an animation, and with every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.text import time_words
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.loop import Step, start_noise, starting_point
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.image_rows import rows
from fromnoise.model.samples import noisy_arrays, to_arrays
from fromnoise.model.trained_model import TrainedModel

STOPS = 8  # columns of the strip
ROWS = ("x", "x0 prediction", "change")


@dataclass(frozen=True)
class TrajectoryFigures:
    """strip: up to eight steps. animation: every step as a frame, the bytes of a GIF. steps: every step, unscaled."""

    strip: Image.Image
    animation: bytes
    steps: Image.Image


def trajectory_figures(model: TrainedModel, seeds: Sequence[int], label: str | int | None = None) -> TrajectoryFigures:
    """Three rows a seed: x after each step, the x0 prediction that it moved towards, and what the step changed.

    In the last row grey is no change; black and white are the largest change of that step.
    """
    path = Trajectory.of(model, seeds, label)
    return TrajectoryFigures(path.strip(), path.animation(), path.strip(stops=range(len(path.steps)), scale=1))


@dataclass(frozen=True)
class Trajectory:
    """The steps that one sample a seed took from `noise`, x (B, C, H, W) at the first time."""

    process: Process
    spec: ImageSpec
    seeds: list[int]
    steps: list[Step]
    noise: Tensor

    @staticmethod
    def of(model: TrainedModel, seeds: Sequence[int], label: str | int | None = None) -> Trajectory:
        """Sample `seeds`, keeping every step; UsageError for a class that the model does not know."""
        steps = list(model.steps(seeds, model.labels(seeds, label)))
        process, spec = model.process, model.spec
        noise = starting_point(process, start_noise(process, spec.shape, seeds), steps[0].t)
        return Trajectory(process, spec, list(seeds), steps, noise.to(steps[0].x))

    def strip(
        self, titles: Sequence[str] = ROWS, *, stops: Sequence[int] | None = None, scale: int | None = None
    ) -> Image.Image:
        """The rows named by `titles` for every seed, one column for each of `stops` (up to eight, evenly spread)."""
        stops = spread(len(self.steps), STOPS) if stops is None else stops
        parts = [self._parts(i) for i in stops]
        titled = [
            (f"seed {seed}: {title}" if row == 0 else title, np.stack([part[title][place] for part in parts]))
            for place, seed in enumerate(self.seeds)
            for row, title in enumerate(titles)
        ]
        heads = [f"{i + 1}: t {time_words(self.steps[i].s)}" for i in stops]
        return rows(titled, heads, beside=True, scale=scale)

    def animation(self) -> bytes:
        """A GIF with one frame per step."""
        return gif_bytes([self._frame(i) for i in range(len(self.steps))])

    def _frame(self, i: int) -> Image.Image:
        """One frame: three rows, one sample a seed; the step's number stands above the first."""
        heads = [f"{i + 1} of {len(self.steps)}", *[""] * (len(self.seeds) - 1)]
        return rows(list(self._parts(i).items()), heads, beside=True)

    def _parts(self, i: int) -> dict[str, Any]:
        """x after step i, its x0 prediction and what it changed, each uint8 (B, H, W, C), by the titles of ROWS."""
        step = self.steps[i]
        others = (to_arrays(self.spec, part) for part in (step.estimate.x0, self._change(i)))
        parts = (noisy_arrays(self.process, self.spec, step.x, step.s), *others)
        return dict(zip(ROWS, parts, strict=True))

    def _change(self, i: int) -> Tensor:
        """x_s - x_t of step i, (B, C, H, W), scaled to the range: no change is its middle."""
        before = self.steps[i - 1].x if i else self.noise
        middle, half = (self.spec.high + self.spec.low) / 2, (self.spec.high - self.spec.low) / 2
        change = self.steps[i].x - before
        return middle + half * change / change.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8)


def spread(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, evenly, both ends among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})
