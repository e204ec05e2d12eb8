"""The way from noise to pictures, step by step: as a strip, as a film, and every step of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from fromnoise.common.files import write_bytes
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import replaced
from fromnoise.diffusion.samplers.loop import Step, start_noise, starting_point
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.grid import save
from fromnoise.figures.image_rows import rows
from fromnoise.model.legacy import labels_asked, walk
from fromnoise.model.samples import to_arrays

if TYPE_CHECKING:
    from fromnoise.run import Run

STOPS = 8  # columns of the strip
ROWS = ("x", "guess at x0", "change")


def trajectory(
    run: Run, seeds: Sequence[int], label: str | int | None, settings: Mapping[str, Any], at: str, weights: str
) -> list[Path]:
    """Write figures/trajectory.png, .gif and trajectory-steps.png for `seeds`; returns their paths.

    Three rows a seed: x after each stop, the guess at the clean image it moved towards, and what the step changed (grey
    is nothing, black and white are its largest change). settings: sampling options such as {"steps": 50}.
    """
    options = replaced(run.settings, {f"sample.{name}": value for name, value in settings.items()}).sample
    labels = labels_asked(seeds, label, run.spec, run.label_counts)
    denoiser = run.denoiser(at, weights)
    steps = list(walk(run, denoiser, seeds, labels, options))
    noise = starting_point(denoiser.process, start_noise(denoiser.process, run.spec.shape, seeds), steps[0].t)
    way = Way(run.spec, list(seeds), steps, noise.to(steps[0].x))
    film = gif_bytes([way.frame(i) for i in range(len(steps))])
    folder = run.folder.figures
    return [
        save(way.strip(spread(len(steps), STOPS)), folder / "trajectory.png"),
        write_bytes(folder / "trajectory.gif", film),
        save(way.strip(range(len(steps)), scale=1), folder / "trajectory-steps.png"),
    ]


def spread(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, evenly, both ends among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


@dataclass(frozen=True)
class Way:
    """The steps that pictures took from `noise`, x (B, C, H, W) at the first time; one seed a picture."""

    spec: ImageSpec
    seeds: list[int]
    steps: list[Step]
    noise: Tensor

    def change(self, i: int) -> Tensor:
        """x_s - x_t of step i, (B, C, H, W): its largest is the range's end, nothing its middle."""
        before = self.steps[i - 1].x if i else self.noise
        middle, half = (self.spec.high + self.spec.low) / 2, (self.spec.high - self.spec.low) / 2
        change = self.steps[i].x - before
        return middle + half * change / change.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-8)

    def parts(self, i: int) -> list[Any]:
        """x after step i, the guess made in it and what it changed, each uint8 (B, H, W, C)."""
        step = self.steps[i]
        return [to_arrays(self.spec, part) for part in (step.x, step.estimate.x0, self.change(i))]

    def frame(self, i: int) -> Any:
        """One frame of the film: three rows, one picture a seed; its number stands above the first."""
        heads = [f"{i + 1} of {len(self.steps)}", *[""] * (len(self.seeds) - 1)]
        return rows(list(zip(ROWS, self.parts(i), strict=True)), heads, beside=True)

    def strip(self, stops: Sequence[int], scale: int | None = None) -> Any:
        """Three rows a seed, one picture a stop."""
        parts = [self.parts(i) for i in stops]
        titled = [
            (f"seed {seed}: {title}" if row == 0 else title, np.stack([part[row][place] for part in parts]))
            for place, seed in enumerate(self.seeds)
            for row, title in enumerate(ROWS)
        ]
        heads = [f"{i + 1}: t {self.steps[i].s:.2g}" for i in stops]
        return rows(titled, heads, beside=True, scale=scale)
