"""What an edit made: pictures, what they were made from, the steps on the way, and how all of it is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.files import write_bytes
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.loop import Step
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.figures.image_rows import rows
from fromnoise.model.samples import to_arrays, to_image

KEPT = 100  # moments that are kept of a longer walk
STOPS = 8  # columns of a strip
FOLLOWED = 3  # pictures in a strip
_GAIN = 8  # how much larger than it is a difference is drawn


@dataclass(frozen=True)
class Moment:
    """Pictures on their way: x at time t, and what the denoiser takes it for; both uint8 (N, H, W, C)."""

    t: float
    x: Any
    guess: Any


@dataclass(frozen=True)
class Edit:
    """What an edit made.

    images: uint8 (N, H, W, C), named by `names`. given: (caption, uint8 (1, H, W, C)) of what they were made from.
    moments: the way to the pictures; up: the way from the picture to noise, where there is one. noise: float
    (N, C, H, W), the inverted pictures, so that they can be sampled from again. facts: numbers, plain enough for JSON.
    notes: sentences for people.
    """

    action: str
    images: Any
    names: list[str]
    given: list[tuple[str, Any]]
    moments: list[Moment]
    up: list[Moment] = field(default_factory=list)
    noise: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def figure(self) -> Image.Image:
        """What was given and what was made of it, side by side."""
        if self.noise is not None:
            return self._round_trip()
        titles, pictures = zip(*self.given, strict=True) if self.given else ((), ())
        return grid(np.concatenate([*pictures, self.images]), captions=[*titles, *self.names])

    def strip(self) -> Image.Image:
        """Up to three of the pictures at eight stops on the way, and below each the guess at x0 made there.

        After an inversion the columns are times, so that the way up stands above the way back.
        """
        way = [self.moments[i] for i in _spread(len(self.moments), STOPS)]
        titled = []
        for row in _spread(len(self.names), FOLLOWED):
            name = self.names[row]
            if self.up:
                titled += _pair(f"{name}: up to noise (read leftwards)", self._risen(way), row)
            titled += _pair(f"{name}: {'back down' if self.up else 'x'}", way, row)
        return rows(titled, [f"t = {moment.t:.3g}" for moment in way], beside=True)

    def _risen(self, way: Sequence[Moment]) -> list[Moment]:
        """The moments of the way up at the times of the way down: from the given pictures to where both ways meet."""
        given = np.concatenate([picture for _, picture in self.given])
        between = [min(self.up[:-1], key=lambda moment: abs(moment.t - there.t)) for there in way[1:-1]]
        return [way[0], *between, Moment(way[-1].t, given, given)]

    def save(self, path: str | Path) -> Path:
        """Write by the ending of `path`: .png the figure, .gif a film of the steps, else a folder of PNGs.

        A .png has its strip beside it, as <name>-steps.png, and a folder in it, as steps.png. Raises UsageError for
        another ending, WriteError where nothing can be written; then nothing is.
        """
        path = Path(path)
        kind = check_ending(path)
        if kind == ".gif":
            return write_bytes(path, gif_bytes([grid(moment.x, side=480) for moment in self.moments]))
        if kind == ".png":
            _write({strip_beside(path): png_bytes(self.strip()), path: png_bytes(self.figure())})
            return path
        files = {
            path / f"{number:03d}-{name.replace(' ', '')}.png": png_bytes(to_image(image))
            for number, (name, image) in enumerate(zip(self.names, self.images, strict=True))
        }
        _write({**files, path / "steps.png": png_bytes(self.strip())})
        return path

    def _round_trip(self) -> Image.Image:
        """The given pictures, their noise, what was sampled from it, and the difference."""
        given = np.concatenate([picture for _, picture in self.given])
        far = (self.images.astype(np.int16) - given) * _GAIN + 128
        difference = np.clip(far, 0, 255).astype(np.uint8)
        if given.shape[-1] == 4:
            difference[..., 3] = 255
        noise = ("its noise", self.moments[0].x)
        back = ("sampled back from the noise", self.images)
        titled = [("given", given), noise, back, (f"what differs, times {_GAIN}", difference)]
        return rows(titled, [f"error {error:.1f}" for error in self.facts["error"]], beside=True)


def check_ending(path: Path) -> str:
    """`.png`, `.gif` or "" for a folder; UsageError for anything else, WriteError for a folder that is a file."""
    if path.suffix not in ("", ".png", ".gif"):
        raise UsageError(f"cannot write an edit as '{path.suffix}'; give a .png, a .gif or a folder's name")
    if not path.suffix and path.is_file():
        raise WriteError(f"{path} is a file; give the name of a folder, or a .png or .gif")
    return path.suffix


def strip_beside(path: Path) -> Path:
    """Where the strip of the figure at `path` goes."""
    return path.with_name(f"{path.stem}-steps.png")


def gathered(
    process: Process, spec: ImageSpec, walks: Iterable[Iterator[Step]], steps: int
) -> tuple[Tensor, list[Moment]]:
    """(x (N, C, H, W) at the end, the moments on the way) of the batches of a walk of `steps` steps.

    Of long walks only every so many-th step is kept. What a guess was made from is alpha x0_hat + sigma eps_hat. At the
    end there is no guess; the picture itself stands in its place.
    """
    ends, kept = [], []
    for walk in walks:
        moments = []
        for step in walk:
            if step.i % -(-steps // KEPT) == 0:
                moments.append(_moment(process, spec, step))
        end = _shown(process, spec, step.x, step.s)
        kept.append([*moments, Moment(step.s, end, end)])
        ends.append(step.x.cpu())
    return torch.cat(ends), [
        Moment(parts[0].t, np.concatenate([p.x for p in parts]), np.concatenate([p.guess for p in parts]))
        for parts in zip(*kept, strict=True)
    ]


def _moment(process: Process, spec: ImageSpec, step: Step) -> Moment:
    guess = step.estimate
    t = torch.full((len(guess.x0),), step.t, dtype=torch.float64)
    x = process.corrupt(guess.x0, guess.eps, t)
    return Moment(step.t, _shown(process, spec, x, step.t), to_arrays(spec, guess.x0))


def _shown(process: Process, spec: ImageSpec, x: Tensor, t: float) -> Any:
    """x (N, C, H, W) at t as uint8 (N, H, W, C); drawn in by its size where that grows, as on VE."""
    alpha, sigma = process.scales(torch.tensor([t], dtype=torch.float64))
    return to_arrays(spec, x / max(1.0, math.hypot(float(alpha), float(sigma))))


def grey_levels(spec: ImageSpec, x: Tensor, x0: Tensor) -> list[float]:
    """How far each x (N, C, H, W) is from x0: the root of the mean square, in grey levels of 255."""
    levels = 255 / (spec.high - spec.low)
    return [round(float(rms), 4) for rms in (x.cpu() - x0.cpu()).square().flatten(1).mean(1).sqrt() * levels]


def _spread(count: int, most: int) -> list[int]:
    """Up to `most` of the numbers below `count`, evenly, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


def _pair(title: str, moments: Sequence[Moment], picture: int) -> list[tuple[str, Any]]:
    """Two titled rows: one picture at each moment, and what it is taken for there."""
    x, guess = (np.stack([getattr(moment, what)[picture] for moment in moments]) for what in ("x", "guess"))
    return [(title, x), ("its guess at x0", guess)]


def _write(files: dict[Path, bytes]) -> None:
    """All of the files or, where one cannot be written, none that was not there before."""
    new = [path for path in files if not path.exists()]
    try:
        for path, content in files.items():
            write_bytes(path, content)
    except WriteError:
        for path in new:
            with suppress(OSError):  # it was never made, or its folder is none
                path.unlink()
        raise
