"""What few steps are learned from: ends of a trained model's trajectories, and the file that keeps them meanwhile.

One step begins at pure noise, and ends where the model's trajectory from there does. Later steps begin at a sample that
is noised again, which guidance has shaped already: where it acts in full once more, samples become too alike. So from a
sample that is noised a second trajectory goes to its own end, with a part of what guidance adds. How much it is noised
is another level for each batch, a half at least, at which the second step begins; what begins there passes all below.

points         float16 (N, 2 + stops, C, H, W), mapped into memory: noise, its sample, and the second trajectory
stops.npy      float64 (N, stops): the times of the second trajectories' points
labels.npy     the labels (N, ...) of a model that is conditioned on classes or numbers
manifest.json  {"count": N, "first": t, "stops": number, "shape": [...], ...}, written last: what has it is whole

References: Hu et al. 2025, CMT, https://arxiv.org/abs/2509.24526
    Meng et al. 2022, SDEdit, https://arxiv.org/abs/2108.01073
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import WriteError
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.diffusion.process import Process, noise_times
from fromnoise.diffusion.samplers.loop import start_noise, starting_point, walk
from fromnoise.diffusion.time_grids import grid_named, last_steps
from fromnoise.model.build import build_sampling
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions

FIRST_SEED = 3_000_000_000  # of the trajectories: far from the seeds that people sample and measure with
SECOND_SEED = 3_600_000_000  # of the noise that samples are noised with
MOST_STOPS = 8  # kept of a second trajectory's points, both ends among them
AGAIN = 0.7  # share of the steps, the last ones, that a second trajectory takes
TOGETHER = 256  # trajectories, made at once at most, that begin the second at one level
LOWEST, HIGHEST = 0.5, 0.95  # noise levels, sigma / (alpha + sigma), between which they begin
BELOW = 0.98  # of the level of pure noise, at most
GOLDEN = (math.sqrt(5) - 1) / 2  # whose multiples, less their whole part, are evenly spread however many there are
GUIDED = 0.5  # of what guidance adds, in second trajectories


@dataclass(frozen=True)
class Trajectories:
    """Points in float16, (N, 2 + stops, C, H, W), with labels (N, ...) or None: noise, its sample, second ones.

    first: the time of the noise. stops: float64 (N, stops), falling from where a sample is noised to, to 0. seconds:
    that it took.
    """

    points: Tensor
    first: float
    stops: Tensor
    labels: Tensor | None
    seconds: float

    def __len__(self) -> int:
        return len(self.points)


def less_guided(sampling: SampleOptions, share: float) -> SampleOptions:
    """`sampling` with a `share` of what guidance adds."""
    return replace(sampling, guidance_scale=1 + share * (sampling.guidance_scale - 1))


def kept_points(model: TrainedModel) -> int:
    """How many images are kept for each that `model` makes."""
    grid = grid_named(model.sampling.grid, model.process)(model.process, model.sampling.steps)
    return 2 + len(_kept(last_steps(grid, AGAIN)))


def second_level(count: int) -> float:
    """The noise level at which the second one of a trajectory begins that `count` others were made before."""
    return LOWEST + (HIGHEST - LOWEST) * (GOLDEN * (count // TOGETHER + 1) % 1)


def second_grid(process: Process, sampling: SampleOptions, level: float) -> Tensor:
    """The last steps of `sampling`, their noise levels drawn out or together so that the first is `level`.

    A process whose levels end near it or below begins a little below its pure noise.
    """
    grid = last_steps(grid_named(sampling.grid, process)(process, sampling.steps), AGAIN)
    ends = torch.tensor([process.t_max, process.t_min], dtype=grid.dtype)
    alpha, sigma = process.scales(torch.cat([ends, grid[:-1]]))
    (most, least), levels = (sigma / (alpha + sigma)).split([2, len(grid) - 1])
    level = min(level, BELOW * float(most))
    above = levels - least
    shares = above / above[0] if len(above) > 1 else torch.ones_like(above)  # one step may begin at the least level
    return torch.cat([noise_times(process, least + shares * (level - least)), grid[-1:]])


def trajectory_points(
    model: TrainedModel, seeds: Sequence[int], labels: Tensor | None, level: float
) -> tuple[Tensor, float, Tensor]:
    """The trajectories from `seeds` with `labels` (N, ...) or None, as `model.sample` takes them, and the second ones.

    Arguments:
        level: noise level at which the second ones begin.

    Returns (points float32 (N, 2 + stops, C, H, W) on the CPU, first, stops (stops,)), as `Trajectories` has them.
    """
    process, shape, steps = model.process, model.spec.shape, list(model.steps(seeds, labels))
    first, sample = steps[0].t, steps[-1].x.cpu()
    noise = starting_point(process, start_noise(process, shape, seeds), first)
    estimator, sampler, _ = build_sampling(less_guided(model.sampling, GUIDED), model.denoiser, model.guide_denoiser())
    grid, again = second_grid(process, model.sampling, level), [SECOND_SEED + seed - FIRST_SEED for seed in seeds]
    noised = process.corrupt(sample, start_noise(process, shape, again), grid[:1].repeat(len(again)))
    second = walk(estimator, noised, seeds=again, sampler=sampler, grid=grid, label=labels, device=model.device)
    points, kept = [noised, *(step.x.cpu() for step in second)], _kept(grid)
    return torch.stack([noise, sample, *(points[i] for i in kept)], dim=1), first, grid[kept]


def _kept(grid: Tensor) -> list[int]:
    """Which points of a second trajectory are kept: all of a few steps, some evenly spread ones of many."""
    number = min(len(grid), MOST_STOPS)
    return [round(i * (len(grid) - 1) / (number - 1)) for i in range(number)]


def _batch(count: int, most: int, size: int) -> range:
    """The seeds of up to `size` trajectories after the first `count`, all of which begin the second at one level."""
    return range(FIRST_SEED + count, FIRST_SEED + min(most, count + size, count - count % TOGETHER + TOGETHER))


def stored_trajectories(folder: Path) -> Trajectories | None:
    """Those that `folder` keeps, None where there are none that are whole."""
    try:
        about = read_stored(folder / "manifest.json")
        shape = (int(about["count"]), 2 + int(about["stops"]), *(int(side) for side in about["shape"]))
        points = np.memmap(folder / "points", dtype=np.float16, mode="c", shape=shape)
        stops = np.load(folder / "stops.npy", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False) if about["labels"] else None
        first, seconds = float(about["first"]), float(about["seconds"])
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    if stops.shape != (*shape[:1], shape[1] - 2) or (labels is not None and len(labels) != len(points)):
        return None
    kept = None if labels is None else torch.from_numpy(labels)
    return Trajectories(torch.from_numpy(points), first, torch.from_numpy(stops), kept, seconds)


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
    began, count, first = time.monotonic(), 0, 0.0
    labels, stops = list[Tensor](), list[Tensor]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "points").open("wb") as file:
            while count < most and not (count and enough(count)):
                check(count)
                seeds = _batch(count, most, model.sampling.batch_size)
                label = model.labels(seeds)
                points, first, times = trajectory_points(model, seeds, label, second_level(count))
                file.write(points.half().contiguous().numpy().tobytes())
                stops.append(times.expand(len(seeds), -1))
                labels += [] if label is None else [label]
                count += len(seeds)
        np.save(folder / "stops.npy", torch.cat(stops).numpy(), allow_pickle=False)
        if labels:
            np.save(folder / "labels.npy", torch.cat(labels).numpy(), allow_pickle=False)
    except OSError as error:
        raise WriteError(f"cannot write {folder} ({error.strerror or error}); free some space") from error
    about = {
        "count": count,
        "first": first,
        "stops": stops[0].shape[1],
        "shape": list(model.spec.shape),
        "labels": bool(labels),
        "seconds": time.monotonic() - began,
    }
    write_stored(folder / "manifest.json", about, advice="free some space")
    made = stored_trajectories(folder)
    assert made is not None
    return made
