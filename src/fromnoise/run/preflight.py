"""What a training would do, said before it does it: its data, its network, and what it costs, measured.

    DryRun.create("photos", settings={"train.budget": "8h"}).preflight()

A few real steps of a copy are timed and dropped. Nothing is written, and what the training would refuse is refused here
with the same error.
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fromnoise.common.durations import format_duration, parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import joined
from fromnoise.common.memory import peak_memory
from fromnoise.common.text import in_bytes
from fromnoise.common.threads import THREADS
from fromnoise.data.image_data import ArrayData
from fromnoise.data.inspection import Inspection, inspect
from fromnoise.data.repeats import count_distinct
from fromnoise.figures.encode import png_bytes
from fromnoise.model.trained_model import TrainedModel
from fromnoise.run.disk_use import DiskUse, disk_use
from fromnoise.run.facts import Facts, decisions
from fromnoise.run.run import Run
from fromnoise.run.training import begin_training, draw_preview
from fromnoise.run.unwritten import DryRunFolder
from fromnoise.train.budget import VALIDATION_COST
from fromnoise.train.checkpoint import share_state
from fromnoise.train.cuda_graph import WARMUP
from fromnoise.train.distributed import current
from fromnoise.train.state_size import state_size
from fromnoise.train.trainer import Trainer
from fromnoise.train.validation import MAX_IMAGES

LEAST_STEPS, LEAST_SECONDS, MOST_SECONDS = 5, 1.0, 20.0  # steps are timed until both are reached, or the last


@dataclass(frozen=True)
class Cost:
    """What a training takes, by a few of its steps.

    Attributes:
        step_seconds, images_per_second: of a step.
        micro_batch: images that went through the network at once. memory_ran_out: whether they are fewer than wanted.
        peak_bytes: memory held at most, see `peak_memory`.
        preview_seconds: of one preview.
        flops, training_flops: floating-point operations for an image: of one evaluation, and of a training step.
        images: that are planned in all, seen ones included; of a time budget, those that fit.
        seconds: until the training is done; without evaluations of samples.
    """

    step_seconds: float
    images_per_second: float
    micro_batch: int
    memory_ran_out: bool
    peak_bytes: int | None
    preview_seconds: float
    flops: int
    training_flops: int
    images: int
    seconds: float


@dataclass(frozen=True)
class Preflight:
    """What `preflight` found.

    Attributes:
        path: the run folder. seen: images that the run there has seen already.
        decisions: data, network, process and hardware, in words.
        duplicates: training images that equal an earlier one.
        cost: None for a run that is finished.
    """

    path: Path
    seen: int
    decisions: Facts
    inspection: Inspection
    duplicates: int
    parameters: int
    batch: int
    cost: Cost | None
    disk: DiskUse

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "run": str(self.path),
            "images_seen": self.seen,
            "decisions": dict(self.decisions),
            "data": {**self.inspection.to_json(), "duplicates": self.duplicates},
            "parameters": self.parameters,
            "batch_size": self.batch,
            "cost": None if self.cost is None else asdict(self.cost),
            "disk": {**asdict(self.disk), "needed": self.disk.needed, "short": self.disk.short},
        }


class DryRun(Run):
    """A run that is not trained but examined; it writes nothing."""

    folder_kind = DryRunFolder
    folder: DryRunFolder

    def preflight(self, started: float | None = None) -> Preflight:
        """What training this run would do.

        Arguments:
            started: when the clock of a time budget began, by `time.monotonic`; now if not given.

        Raises:
            FromNoiseError: what training would raise before the first step. MemoryLimitError also where a step does not
                fit the memory. UsageError for a distillation.
        """
        if self.metadata.get("distilled"):
            raise UsageError(
                f"{self.path} is distilled from trajectories, which would have to be made first; leave --dry_run out"
            )
        started = time.monotonic() if started is None else started
        folder, options = self.folder, self.settings.train
        with folder.locked(), THREADS.held(options.num_threads):
            folder.check_writable()
            model = self.new_model()
            metadata = (
                {**self.metadata, "init": None} if folder.record else self.metadata
            )  # whose weights are nowhere yet
            begin = partial(begin_training, folder, metadata, self.settings, model, self.data, started)
            trainer, before, _ = current().each(lambda: begin(rename_damaged=False))
            share_state(trainer, before)
            size, seen, measured = state_size(trainer.net, options), trainer.images, None
            use = disk_use(folder, options, size)
            with trainer.votes.until_all_leave():
                if not trainer.done:
                    use.check(self.path)
                    measured = _measure(trainer, model)
        inspection, cost = inspect(self.settings.data), None  # after it, for the images lie in memory twice
        if measured:
            cost = _cost(trainer, measured, seen, self.data.held_out, inspection)
            steps = -(-cost.images // len(self.data)) * trainer.batches.steps_per_epoch
            written = 1 + cost.seconds // parse_duration(options.checkpoint_every)
            use = disk_use(folder, options, size, steps=steps, written=written, preview=measured.preview_bytes)
        return Preflight(
            self.path,
            seen,
            [row for row in decisions(self) if row[0] != "disk"],
            inspection,
            len(self.data) - count_distinct(self.data.images),
            sum(p.numel() for p in trainer.net.parameters()),
            options.train_batch_size,
            cost,
            use,
        )


def pace(images_per_second: float, batch: int, images: int, seconds: float, peak_bytes: int | None) -> str:
    """The speed, and how long it takes, in words; the images and seconds that are left."""
    held = f", {in_bytes(peak_bytes)} of memory" if peak_bytes else ""
    return (
        f"{1000 * batch / images_per_second:.3g} ms a step, {images_per_second:,.0f} images/s{held}; about "
        f"{format_duration(seconds)} for {images:,} images"
    )


@dataclass(frozen=True)
class _Measured:
    """By a few steps: when they began, seconds of a step, images a second, memory, seconds and bytes of a preview."""

    began: float
    step_seconds: float
    images_per_second: float
    peak_bytes: int | None
    preview_seconds: float
    preview_bytes: int


def _measure(trainer: Trainer, model: TrainedModel) -> _Measured:
    """Train a few steps, and draw a preview."""
    began, budget, total = time.monotonic(), trainer.budget, trainer.total
    trainer.budget = trainer.total = None  # no step is the last one
    step_seconds, per_second = _timed_steps(trainer)
    drawing, preview = time.monotonic(), b""
    if trainer.options.previews and not trainer.group.rank:
        preview = png_bytes(draw_preview(model, trainer.best_net))
    drawn = time.monotonic() - drawing
    trainer.budget, trainer.total = budget, total
    return _Measured(began, step_seconds, per_second, peak_memory(str(trainer.device)), drawn, len(preview))


def _cost(trainer: Trainer, measured: _Measured, seen: int, held_out: ArrayData | None, inspection: Inspection) -> Cost:
    options, budget, per_second, total = trainer.options, trainer.budget, measured.images_per_second, trainer.total
    validation_images = 2 * min(MAX_IMAGES, inspection.counts.get("test", len(held_out or ())))
    validations = options.validations + 1 if options.validations else 0
    if budget:
        budget.started += time.monotonic() - measured.began  # a training has not spent this
        budget.validations, budget.validation_images = options.validations, validation_images
        total = budget.plan_images(seen, per_second, options.train_batch_size)
        validations = budget.affordable_validations(per_second)
    assert total is not None
    seconds = (total - seen) / per_second + options.previews * measured.preview_seconds
    seconds += validations * VALIDATION_COST * validation_images / per_second
    return Cost(
        measured.step_seconds,
        per_second,
        trainer.update.micro_batch,
        trainer.update.micro_batch < -(-trainer.update.batch_size // options.gradient_accumulation_steps),
        measured.peak_bytes,
        measured.preview_seconds,
        *count_flops(trainer.net, trainer.denoiser.spec),
        total,
        seconds,
    )


def _timed_steps(trainer: Trainer) -> tuple[float, float]:
    """(seconds of a step, images per second) of some steps after the first, which are slow."""
    steps, gpu = trainer.steps(), trainer.device.type != "cpu"
    for _ in range(WARMUP + 2 if gpu else 1):
        next(steps)
    trainer.read_losses()  # waits for the device
    began, images, count, seconds = time.perf_counter(), trainer.images, 0, 0.0
    while not trainer.group.any(seconds >= MOST_SECONDS or (count >= LEAST_STEPS and seconds >= LEAST_SECONDS)):
        for _ in range(LEAST_STEPS if gpu else 1):
            next(steps)
            count += 1
        trainer.read_losses()
        seconds = time.perf_counter() - began
    return seconds / count, (trainer.images - images) / seconds


def count_flops(net: nn.Module, spec: ImageSpec) -> tuple[int, int]:
    """Floating-point operations of the network for one image: (of an evaluation, of a training step).

    Two for each multiplication with an addition; counted on shapes alone, without computing.
    """
    from torch.utils.flop_counter import FlopCounterMode

    shapes = copy.deepcopy(net).to("meta").train()
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        numbers = torch.zeros(1, len(spec.conditions)) if spec.conditions else None
        label = joined(torch.zeros(1, dtype=torch.int64) if spec.classes else None, numbers)
        out = shapes(torch.zeros(1, *spec.shape), torch.zeros(1), label)
        evaluation = counter.get_total_flops()
        out.sum().backward()
    return evaluation, counter.get_total_flops()
