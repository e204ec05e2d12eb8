"""Trajectories of a trained model, from noise to samples, and the file that keeps them while a network learns them.

points         float16 (N, stops, C, H, W), mapped into memory
labels.npy     the labels (N, ...) of a model that is conditioned on classes or numbers
manifest.json  {"count": N, "stops": [...], "shape": [...], "seconds": ...}, written last: what has it is whole

References: Hu et al. 2025, CMT, https://arxiv.org/abs/2509.24526
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import WriteError
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.model.trained_model import TrainedModel

FIRST_SEED = 3_000_000_000  # of the trajectories: far from the seeds that people sample and measure with
MOST_STOPS = 8  # kept of a trajectory's points, both ends among them


@dataclass(frozen=True)
class Trajectories:
    """Points in float16, (N, stops, C, H, W), at the times `stops`, with labels (N,) or None.

    stops: float64, falling from pure noise to 0. seconds: that it took to make them.
    """

    points: Tensor
    stops: Tensor
    labels: Tensor | None
    seconds: float

    def __len__(self) -> int:
        return len(self.points)


def kept_stops(model: TrainedModel) -> list[int]:
    """Which points of its trajectories are kept: all of a few steps, some evenly spread ones of many."""
    options = model.sampling
    last = len(grid_named(options.grid, model.process)(model.process, options.steps)) - 1
    number = min(last + 1, MOST_STOPS)
    return [round(i * last / (number - 1)) for i in range(number)]


def trajectory_points(model: TrainedModel, seeds: Sequence[int], labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """The trajectories from `seeds` with `labels` (N,) or None, as `model.sample` takes them.

    Returns (points float32 (N, stops, C, H, W) on the CPU, stops): the noise at its first time, and what is kept.
    """
    noise = start_noise(model.process, model.spec.shape, seeds)
    steps = list(model.steps(seeds, labels))
    times = [steps[0].t, *(step.s for step in steps)]
    _, sigma = model.process.scales(torch.tensor(times[:1], dtype=torch.float64))
    points, kept = [noise * float(sigma), *(step.x.cpu() for step in steps)], kept_stops(model)
    return torch.stack([points[i] for i in kept], dim=1), torch.tensor([times[i] for i in kept], dtype=torch.float64)


def stored_trajectories(folder: Path) -> Trajectories | None:
    """Those that `folder` keeps, None where there are none that are whole."""
    try:
        about = read_stored(folder / "manifest.json")
        shape = (int(about["count"]), len(about["stops"]), *(int(side) for side in about["shape"]))
        points = np.memmap(folder / "points", dtype=np.float16, mode="c", shape=shape)
        labels = np.load(folder / "labels.npy", allow_pickle=False) if about["labels"] else None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    if labels is not None and len(labels) != len(points):
        return None
    stops = torch.tensor(about["stops"], dtype=torch.float64)
    kept = None if labels is None else torch.from_numpy(labels)
    return Trajectories(torch.from_numpy(points), stops, kept, float(about["seconds"]))


def make_trajectories(
    model: TrainedModel,
    folder: Path,
    *,
    most: int,
    enough: Callable[[int], bool] = lambda made: False,
    check: Callable[[int], object] = lambda made: None,
) -> Trajectories:
    """Make trajectories of `model` and keep them in `folder`.

    Arguments:
        most: how many at most.
        enough: whether so many are, asked now and then; if not given, `most` are made.
        check: called now and then with how many there are; may raise.

    Raises:
        WriteError: they cannot be written.
    """
    began, count, stops = time.monotonic(), 0, torch.zeros(0)
    labels: list[Tensor] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "points").open("wb") as file:
            while count < most and not (count and enough(count)):
                check(count)
                seeds = range(FIRST_SEED + count, FIRST_SEED + min(most, count + model.sampling.batch_size))
                label = model.labels(seeds)
                points, stops = trajectory_points(model, seeds, label)
                file.write(points.half().contiguous().numpy().tobytes())
                labels += [] if label is None else [label]
                count += len(seeds)
        if labels:
            np.save(folder / "labels.npy", torch.cat(labels).numpy(), allow_pickle=False)
    except OSError as error:
        raise WriteError(f"cannot write {folder} ({error.strerror or error}); free some space") from error
    about = {
        "count": count,
        "stops": stops.tolist(),
        "shape": list(model.spec.shape),
        "labels": bool(labels),
        "seconds": time.monotonic() - began,
    }
    write_stored(folder / "manifest.json", about, advice="free some space")
    made = stored_trajectories(folder)
    assert made is not None
    return made
