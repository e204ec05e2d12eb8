"""Train a distilled run: trajectories, made by the weights that it starts from, then the training on them."""

from __future__ import annotations

import copy
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from fromnoise.common.durations import format_duration, parse_duration
from fromnoise.common.errors import Interrupted, UsageError, WriteError
from fromnoise.common.options import from_dict
from fromnoise.common.progress import report_progress
from fromnoise.common.text import in_bytes
from fromnoise.common.threads import THREADS
from fromnoise.diffusion.objective import Objective
from fromnoise.distillation.training import PointBatches, PointTrainer
from fromnoise.distillation.trajectories import Trajectories, kept_points, make_trajectories, stored_trajectories
from fromnoise.model.build import build_objective
from fromnoise.model.trained_model import TrainedModel
from fromnoise.run.folder import RunFolder
from fromnoise.run.going_on import replanned_at
from fromnoise.run.tracking import tracked
from fromnoise.run.training import load_start, preview_into, take_hold, where_it_goes_on
from fromnoise.settings import Settings
from fromnoise.train.budget import Budget
from fromnoise.train.checkpoint import restore_newest
from fromnoise.train.distributed import join
from fromnoise.train.interrupts import StopRequest, stop_on_signals
from fromnoise.train.session import Session
from fromnoise.train.trainer import TrainStep

SHARE = 0.1  # of a time budget, for the trajectories
LEAST, MOST_SHARE = 2000, 0.2  # where they are fewer than LEAST, up to this share
TOO_MUCH = 0.7  # of a time budget, spent on the first of them
MOST_BYTES = 2**30  # of them


def distilling_steps(
    folder: RunFolder,
    metadata: Mapping[str, Any],
    settings: Settings,
    model: TrainedModel,
    *,
    started: float | None = None,
    max_time: float | None = None,
    say: Callable[[str], object] | None = None,
) -> Iterator[TrainStep]:
    """Distil to the end of the run, from its last checkpoint; arguments and errors as for `training_steps`.

    The trajectories lie in the run folder until the end. Nothing is needed of the run that it came from.
    """
    began, group = time.monotonic(), join()
    if group.world > 1:
        raise UsageError(f"a distillation is done by one process, but there are {group.world}; start it without them")
    deadline = None if max_time is None else began + max_time
    with stop_on_signals() as stop, THREADS.held(settings.train.num_threads), ExitStack() as stack:
        take_hold(stack, folder, settings, group)
        words = load_start(folder, metadata, model)
        teacher = _teacher(model, metadata["distilled"]["sampling"])
        objective = build_objective(settings.objective, metadata["sigma_data"])
        trainer = _trainer(settings, model, (teacher, objective), began if started is None else started)
        before = restore_newest(folder.checkpoints, trainer)
        if trainer.images <= replanned_at(metadata):
            trainer.total = trainer.planned
        if say:
            say(words if before is None else where_it_goes_on(trainer))
        if not trainer.done:
            kept = stored_trajectories(folder.trajectories)
            trainer.points.trajectories = kept or _trajectories(folder, metadata, teacher, trainer, stop, deadline)
            if trainer.budget:  # what earlier sessions took of it
                trainer.budget.started -= (before or 0.0) + (kept.seconds if kept else 0.0)
        session = Session(trainer, folder, seconds_before=before or 0.0, preview=preview_into(folder, model))
        yield from tracked(folder, settings, session.steps(stop, deadline))
        shutil.rmtree(folder.trajectories, ignore_errors=True)


def _teacher(model: TrainedModel, sampling: Mapping[str, Any]) -> TrainedModel:
    """A copy of `model`, which has not been trained yet, that samples as the run that it came from."""
    options = from_dict(Settings(), {"sample": sampling}).sample
    copied = model.with_net(copy.deepcopy(model.denoiser.net))
    return replace(copied, sampling=options, sees_unlabelled=True, distilled=False)


def _trainer(
    settings: Settings, model: TrainedModel, teacher: tuple[TrainedModel, Objective], started: float
) -> PointTrainer:
    options = settings.train
    budget = None if options.budget is None else Budget(started, parse_duration(options.budget))
    batches = PointBatches(model.process, options.train_batch_size, options.seed)
    total = None if budget else options.num_images
    return PointTrainer(model.denoiser, batches, options, total, budget, teacher=teacher)


def _trajectories(
    folder: RunFolder,
    metadata: Mapping[str, Any],
    teacher: TrainedModel,
    trainer: PointTrainer,
    stop: StopRequest,
    deadline: float | None,
) -> Trajectories:
    """New ones: as many as were asked for, or as the budget has time for."""
    budget, count = trainer.budget, metadata["distilled"]["trajectories"]
    most = _affordable(folder, math.prod(teacher.spec.shape) * kept_points(teacher), count)

    def enough(made: int) -> bool:
        if budget is None or count is not None:
            return False
        return budget.remaining() < (1 - (MOST_SHARE if made < LEAST else SHARE)) * budget.seconds

    def check(made: int) -> None:
        if stop.received:
            raise Interrupted(f"stopped after {made:,} trajectories; the same command begins again", stop.exit_code)
        if budget and made and budget.remaining() < (1 - TOO_MUCH) * budget.seconds:
            raise UsageError(
                f"the budget is {format_duration(budget.seconds)}, but {made:,} trajectories took "
                f"{format_duration(budget.seconds - budget.remaining())} of it; give `fromnoise distill` a --budget of "
                f"{math.ceil((budget.seconds - budget.remaining()) / MOST_SHARE)}s or more"
            )

    def going_on(made: int) -> None:
        check(made)
        if deadline is not None and time.monotonic() >= deadline:
            raise Interrupted(
                f"max_time is over after {made:,} trajectories, and the same command begins again; give it longer", 75
            )

    report_progress("making trajectories ...")
    try:
        made = make_trajectories(teacher, folder.trajectories, most=most, enough=enough, check=going_on)
        check(len(made))
    except BaseException:
        shutil.rmtree(folder.trajectories, ignore_errors=True)
        raise
    event = {"event": "trajectories", "images": 0, "count": len(made), "took": round(made.seconds, 2), "seconds": 0.0}
    folder.append_metrics([event])
    report_progress(f"{len(made):,} trajectories in {format_duration(made.seconds)}")
    return made


def _affordable(folder: RunFolder, values: int, wanted: int | None) -> int:
    """How many trajectories of `values` numbers to make at most; WriteError where too few fit the disk."""
    each, free = 2 * values, shutil.disk_usage(folder.path).free
    needed = each * (wanted or 1000)
    if needed > free:
        raise WriteError(
            f"{wanted or 1000:,} trajectories take {in_bytes(needed)}, but only {in_bytes(free)} are free for "
            f"{folder.path}; free some space, or choose another --output_dir"
        )
    return wanted or max(1000, min(MOST_BYTES, free // 2) // each)
