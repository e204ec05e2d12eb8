"""Train a run: build its trainer, hand the session what scores and previews it, and save into the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import torch
from PIL import Image
from torch import nn

from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import CheckpointError, DataError
from fromnoise.common.progress import report_progress
from fromnoise.common.threads import THREADS
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.reference import Reference, build_reference
from fromnoise.evaluation.scores import quick_scores
from fromnoise.figures.grid import grid, save
from fromnoise.model.build import build_objective
from fromnoise.model.samples import Samples
from fromnoise.model.trained_model import TrainedModel
from fromnoise.report.trackers import check_tracker
from fromnoise.run.disk_use import disk_use
from fromnoise.run.folder import RunFolder
from fromnoise.run.going_on import replanned_at
from fromnoise.run.status import noted
from fromnoise.run.tracking import tracked
from fromnoise.settings import Settings
from fromnoise.train.ahead import Ahead, resident
from fromnoise.train.budget import Budget
from fromnoise.train.checkpoint import load_weights, restore_newest, share_state
from fromnoise.train.checkpoint_files import list_checkpoints
from fromnoise.train.distributed import Group, current, join
from fromnoise.train.following import follow
from fromnoise.train.interrupts import stop_on_signals
from fromnoise.train.session import Preview, Session
from fromnoise.train.shared_update import check_shares
from fromnoise.train.state_size import state_size
from fromnoise.train.trainer import Trainer, TrainStep
from fromnoise.train.validation import Validator

QUICK_SAMPLES = 1000  # in an evaluation while training
FIRST_SEED = 2_000_000_000  # of these: a later evaluation has other noise than that which chose the checkpoint
PREVIEW_SAMPLES = 32
PREVIEW_STEPS = {"ddpm": 50, "ddpm_large": 50}  # by sampler; 10 for any other


def training_steps(
    folder: RunFolder,
    metadata: Mapping[str, Any],
    settings: Settings,
    model: TrainedModel,
    data: ArrayData,
    load_validation: Callable[[], ArrayData | None],
    *,
    started: float | None = None,
    max_time: float | None = None,
    say: Callable[[str], object] | None = None,
) -> Iterator[TrainStep]:
    """Train to the end of the run, from its last checkpoint; yields after every step.

    Arguments:
        metadata: config.json.
        model: the network before training, on the device to train on.
        data: the training images.
        load_validation: gives the validation images, None where there are none; may raise DataError.
        started: when the clock of a time budget began, by `time.monotonic`; now if not given.
        max_time: seconds after which to stop with work left.
        say: gets a sentence on where training begins.

    Raises:
        Interrupted: after saving, beyond max_time and on signals.
        BusyError: another process trains this run.
        DivergedError: the loss is not finite any more.
    """
    began, group = time.monotonic(), join()
    deadline = None if max_time is None else began + max_time
    group.wait_for(parse_duration(settings.train.answer_within))
    with stop_on_signals() as stop, THREADS.held(settings.train.num_threads), ExitStack() as stack:
        group.each(lambda: take_hold(stack, folder, settings, group))
        clock = began if started is None else started
        trainer, before, words = group.each(lambda: begin_training(folder, metadata, settings, model, data, clock))
        before = share_state(trainer, before)
        if trainer.budget:
            trainer.budget.started = clock - before
        if say:
            say(words)
        with trainer.votes.until_all_leave():
            if group.rank:
                yield from follow(trainer, stop, deadline)
            else:
                session = _session(folder, settings, model, data, load_validation, trainer, before)
                yield from tracked(folder, settings, session.steps(stop, deadline))


def take_hold(stack: ExitStack, folder: RunFolder, settings: Settings, group: Group) -> None:
    """Hold `folder` until `stack` ends; raises what training would raise later."""
    check_shares(settings.train, group.world)
    if settings.train.report_to is not None:
        check_tracker(settings.train.report_to)
    stack.enter_context(folder.locked())
    if group.rank == 0:
        stack.enter_context(noted(folder))
    folder.check_writable()
    folder.clear_leftovers()


def _session(
    folder: RunFolder,
    settings: Settings,
    model: TrainedModel,
    data: ArrayData,
    load_validation: Callable[[], ArrayData | None],
    trainer: Trainer,
    seconds_before: float,
) -> Session:
    wanted = not trainer.done
    if wanted:
        disk_use(folder, settings.train, state_size(trainer.net, settings.train)).check(folder.path)
    return Session(
        trainer,
        folder,
        seconds_before=seconds_before,
        preview=preview_into(folder, model),
        validator=_validator(trainer, data, load_validation) if wanted and settings.train.validations else None,
        evaluator=QuickEvaluator(model, data) if wanted and settings.train.evaluate_every else None,
    )


def begin_training(
    folder: RunFolder,
    metadata: Mapping[str, Any],
    settings: Settings,
    model: TrainedModel,
    data: ArrayData,
    started: float,
    *,
    rename_damaged: bool = True,
) -> tuple[Trainer, float, str]:
    """(the trainer at the newest checkpoint or at the start, training seconds before, where training begins).

    Of many processes, the first has that state; see `share_state`.
    """
    if current().rank:
        return _trainer(settings, model, data, started), 0.0, ""
    starts_from = "" if list_checkpoints(folder.checkpoints) else load_start(folder, metadata, model)
    trainer = _trainer(settings, model, data, started)
    seconds_before = restore_newest(folder.checkpoints, trainer, rename_damaged=rename_damaged) or 0.0
    if trainer.budget:
        trainer.budget.started = started - seconds_before
    if trainer.images <= replanned_at(metadata):
        trainer.total = trainer.planned
    return trainer, seconds_before, starts_from or where_it_goes_on(trainer)


def load_start(folder: RunFolder, metadata: Mapping[str, Any], model: TrainedModel) -> str:
    """Give `model` the weights that the run starts from; returns what they are."""
    init = metadata.get("init")
    if not init:
        return f"starting from scratch in {folder.path}"
    try:
        content = folder.initial_weights.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {folder.initial_weights} ({error.strerror}), which the run starts from; begin it again in "
            "another --output_dir"
        ) from error
    if sha256(content).hexdigest() != init["sha256"]:
        raise CheckpointError(f"{folder.initial_weights} is damaged; begin the run again in another --output_dir")
    load_weights(model.denoiser.net, content)
    return f"starting from {init['about']}: {init['fitted']}"


def where_it_goes_on(trainer: Trainer) -> str:
    if trainer.done:
        return f"finished: {trainer.images:,} images were seen"
    return f"going on at {trainer.images:,}" + (f" of {trainer.total:,} images" if trainer.total else " images")


def _trainer(settings: Settings, model: TrainedModel, data: ArrayData, started: float) -> Trainer:
    """The trainer at the start."""
    options, denoiser = settings.train, model.denoiser
    here = resident(data, model.device)
    batches = Batches(
        data.to(model.device) if here else data,
        options.train_batch_size,
        options.seed,
        random_flip=settings.data.random_flip,
        device=model.device if here else "cpu",
    )
    objective = build_objective(settings.objective, denoiser.prediction.sigma_data, denoiser.spec.guidance_input)
    budget = None if options.budget is None else Budget(started, parse_duration(options.budget))
    total = None if budget else options.num_images or round((options.num_epochs or 1.0) * len(data))
    source = batches if here else Ahead(batches, model.device)
    return Trainer(denoiser, objective, source, options, total=total, budget=budget, group=current())


def _validator(trainer: Trainer, data: ArrayData, load_validation: Callable[[], ArrayData | None]) -> Validator | None:
    """What measures the validation loss; None where there are no validation images, or none that fit."""
    try:
        validation = load_validation()
    except DataError as error:
        report_progress(f"the validation loss is not measured: {error}")
        return None
    if validation is None:
        return None
    return Validator(trainer.objective, trainer.denoiser.process, validation, data, trainer.options.seed)


def preview_into(folder: RunFolder, model: TrainedModel) -> Preview:
    """Draws and saves a preview."""
    return lambda net, images: save(draw_preview(model, net), folder.samples / f"preview-{images:08d}.png")


def draw_preview(model: TrainedModel, net: nn.Module) -> Image.Image:
    """A grid of a few samples of `net` in few steps."""
    steps = min(model.sampling.steps, PREVIEW_STEPS.get(model.sampling.sampler, 10))
    with _sampling(model, net, steps=steps, guidance_scale=1.0) as quick_model:
        return grid(_samples(quick_model, PREVIEW_SAMPLES).images)


class QuickEvaluator:
    """Fréchet distance and KID of 1,000 samples of the weights as they are (`train.evaluate_every`)."""

    count, best_by = QUICK_SAMPLES, "kid"

    def __init__(self, model: TrainedModel, data: ArrayData) -> None:
        self.model, self.data = model, data

    @cached_property
    def reference(self) -> Reference:
        """The training images in the features of their classifier, which may have to be trained first."""
        return build_reference(self.data)

    def estimate_seconds(self, net: nn.Module) -> float:
        """About how long an evaluation takes, from the time of 32 samples, on a GPU of as many as it makes at once."""
        few, measuring = 32, 2.0  # features and distances take about two seconds
        _ = self.reference  # made before the clock starts
        with _sampling(self.model, net) as model:
            if self.model.device != "cpu":
                _samples(model, few)  # which loads its kernels
                few = min(self.count, model.sampling.batch_size)
            began = time.monotonic()
            _samples(model, few)
        return (time.monotonic() - began) * self.count / few + measuring

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Measures by name."""
        with _sampling(self.model, net) as model:
            samples = _samples(model, self.count, FIRST_SEED)
        images = torch.from_numpy(samples.images).permute(0, 3, 1, 2).contiguous()
        labels = None if samples.labels is None else torch.tensor(samples.labels)
        return asdict(quick_scores(images, labels, self.reference))


@contextmanager
def _sampling(model: TrainedModel, net: nn.Module, **changes: Any) -> Iterator[TrainedModel]:
    """`model` with the network `net`, in evaluation mode meanwhile.

    Without autoguidance: the checkpoint that it pushes away from need not exist yet.
    """
    options = replace(model.sampling, autoguidance_scale=1.0, guide_checkpoint=None, **changes)
    training = net.training
    net.eval()
    try:
        yield replace(model.with_net(net), sampling=options)
    finally:
        net.train(training)


def _samples(model: TrainedModel, number: int, first: int = 0) -> Samples:
    seeds = range(first, first + number)
    return model.sample_labelled(seeds, model.labels(seeds))
