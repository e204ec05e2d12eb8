"""Beginning a distillation: a new run folder that starts from a trained run's weights, and says whose they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.torch import save

from fromnoise.common.errors import UsageError
from fromnoise.common.options import differences, to_dict
from fromnoise.common.text import printable, quoted
from fromnoise.diffusion.process_registry import build_process
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.model.build import build_sampler
from fromnoise.model.trained_model import TrainedModel
from fromnoise.recipes.recipes import DISTILL_BUDGET, trajectory_sampling
from fromnoise.run.checkpoints import newest_checkpoint, newest_state
from fromnoise.run.folder import RunFolder
from fromnoise.run.going_on import FoundRun
from fromnoise.run.metadata import versions
from fromnoise.run.opened import OpenedRun
from fromnoise.settings import SampleOptions, Settings, TrainOptions
from fromnoise.train.state_size import state_size

BATCH, LEARNING_RATE = 128, 7e-3
STEPS = 2  # of sampling, where no others are asked for


def begin_distillation(
    source: Path,
    output_dir: Path | None,
    length: Mapping[str, Any],
    trajectories: int | None,
    *,
    checkpoint: str = "last",
    weights: str = "ema",
    sampling: Mapping[str, Any],
) -> RunFolder:
    """Make the run folder that distils the run `source`, or find it where that was begun; see `Run.distill`.

    length: `train.budget` or `train.num_images` by dotted name, or neither: then a run that is there keeps its own, and
    a new one has DISTILL_BUDGET. sampling: settings of the trajectories.
    """
    asked = {name: value for name, value in length.items() if value is not None}
    if len(asked) > 1:
        raise UsageError("--budget and --num_images were both given, but one says how long; leave one out")
    length = asked or {"train.budget": DISTILL_BUDGET}
    if length.get("train.budget") is None and trajectories is None:
        raise UsageError("num_images says nothing of the trajectories; give --trajectories N besides, such as 10000")
    run = OpenedRun(source, device="cpu")
    name = source.resolve().name
    _check_source(run)
    model = run.model(checkpoint, weights, **{**of_trajectories(run.settings), **sampling})
    if found := obstacle(run.settings, model.sampling):
        raise UsageError(f"{run.path} {found[0]}; {found[1]}")
    content = save({name: value.contiguous() for name, value in model.denoiser.net.state_dict().items()})
    settings = student_settings(run.settings, length)
    origin = {
        "from": printable(name),
        "images": model.images,
        "weights": model.weights,
        "sha256": sha256(content).hexdigest(),
        "trajectories": trajectories,
        "sampling": json.loads(json.dumps(asdict(model.sampling))),  # as it will be read: no tuples
    }
    folder = RunFolder(output_dir) if output_dir else default_place(source)
    if folder.exists() and _is_same(folder, origin, asked, settings.data.source):
        return folder
    if folder.exists() and not asked:
        settings = _of_length(settings, FoundRun(folder, folder.read_record()).settings.train)
    _write(folder, run, model, settings, origin, content)
    return folder


def default_place(source: Path) -> RunFolder:
    """Where the run in `source` is distilled to unless something else is asked for."""
    beside = source if source.name not in ("", "..") else source.resolve()  # as short as it was given
    return RunFolder(beside.with_name(f"{source.resolve().name}-distilled"))


def of_trajectories(settings: Settings) -> dict[str, Any]:
    """What the trajectories of a run with `settings` are sampled with in place of its own sampling."""
    own = settings.sample
    plain = trajectory_sampling(own)
    if settings.objective.guidance_input:  # its network was trained for guidance at its own times
        plain = replace(plain, guidance_interval=own.guidance_interval)
    return {name: value for name, value in vars(plain).items() if value != getattr(own, name)}


def _check_source(run: OpenedRun) -> None:
    """UsageError for a run that is distilled already or not finished."""
    if made := run.metadata.get("distilled"):
        raise UsageError(
            f"{run.path} is distilled already, from {made['from']}; give that run, or one that was not distilled"
        )
    state = newest_state(run.folder)
    seen, total = int(state.get("images", 0)), state.get("total")
    if state and (total is None or seen < total):
        raise UsageError(
            f"{run.path} is not finished ({seen:,}{f' of {total:,}' if total else ''} images); finish it with "
            f"`fromnoise train --resume {quoted(run.path)}`, and distil it then"
        )


def obstacle(settings: Settings, sampling: SampleOptions) -> tuple[str, str] | None:
    """Why a run with `settings` cannot learn trajectories by `sampling`, and what to do about it; None if it can."""
    if build_sampler(sampling).stochastic:
        return (
            f"samples with '{sampling.sampler}', which adds noise, but what is distilled has to follow from where it "
            "starts",
            "give another sampler and its steps, such as --sampler dpmpp_2m --steps 20",
        )
    process = build_process(settings.process)
    first = float(grid_named(sampling.grid, process)(process, sampling.steps)[0])
    if first < (1 - 1e-9) * process.t_max:
        return (
            f"is to be walked from t = {first:g}, but one step begins at pure noise, at t = {process.t_max:g}",
            "give --grid auto, or times that begin there",
        )
    if sampling.guide_checkpoint is not None:
        return (
            "samples with autoguidance, whose second network the new run would not have",
            "give --autoguidance_scale 1 --guide_checkpoint none, or distil another run",
        )
    if settings.objective.prediction == "eps":
        return (
            "predicts eps, which says nothing about the image where there is only noise, and one step begins there",
            "distil a run that was trained with --set objective.prediction=v",
        )
    if not settings.net.time_conditioning:
        return (
            "has a network that is not conditioned on the time, which has to tell it how far to go",
            "distil a run of another recipe",
        )
    return None


def student_settings(own: Settings, length: Mapping[str, Any]) -> Settings:
    """The settings of the distilled run."""
    lengths: dict[str, Any] = {"num_epochs": None, "num_images": None, "budget": None}
    train = replace(
        own.train,
        **{**lengths, **{name.partition(".")[2]: value for name, value in length.items()}},
        train_batch_size=BATCH,
        gradient_accumulation_steps=1,
        optimizer="muon",
        learning_rate=own.train.learning_rate if own.train.optimizer == "muon" else LEARNING_RATE,
        lr_schedule="linear",
        lr_warmup_images=25 * BATCH,
        momentum=TrainOptions.momentum,
        adam_beta2=0.95,
        weight_decay=0.1,
        max_grad_norm=1.0,
        use_ema=True,
        ema_length=0.1,
        posthoc_ema=False,
        validations=0,
        evaluate_every=None,
    )
    sample = SampleOptions(sampler="renoise", grid="levels", steps=STEPS, batch_size=own.sample.batch_size)
    objective = replace(own.objective, label_dropout=0.0, guidance_input=None)  # its network keeps the input, at 1
    return replace(own, train=train, sample=sample, objective=objective)


def _of_length(settings: Settings, there: TrainOptions) -> Settings:
    """`settings` with the length of the run that is there."""
    return replace(settings, train=replace(settings.train, budget=there.budget, num_images=there.num_images))


def _is_same(folder: RunFolder, origin: Mapping[str, Any], length: Mapping[str, Any], images: str) -> bool:
    """Whether the run in `folder` is this distillation, so that it goes on; False where it may be begun again.

    length: what was asked for, which replaces what the run began with. images: their source.

    Raises UsageError where it is another run, or is finished and would be other.
    """
    found = FoundRun(folder, folder.read_record())
    there = found.record.get("distilled")
    if there != origin:
        raise UsageError(
            f"{folder.path} holds {'another distillation' if there else 'a run that is not distilled'}; choose another "
            "--output_dir, or remove it"
        )
    if newest_checkpoint(folder) is None:
        return False
    found.change(found.compared(length, images))
    return True


def _write(
    folder: RunFolder,
    run: OpenedRun,
    model: TrainedModel,
    settings: Settings,
    origin: Mapping[str, Any],
    content: bytes,
) -> None:
    about = f"the {model.weights} weights of {origin['from']} after {model.images:,} images"
    record = {
        **{name: run.metadata[name] for name in ("spec", "sigma_data", "data")},
        "settings": to_dict(settings),
        "context": run.metadata.get("context", {}),
        "parameters": sum(p.numel() for p in model.denoiser.net.parameters()),
        "bytes": asdict(state_size(model.denoiser.net, settings.train, beside=1, fixed=1)),
        "versions": versions(),
        "init": {"from": None, "about": about, "fitted": "all tensors taken over", "sha256": origin["sha256"]},
        "distilled": dict(origin),
    }
    lengths = ("budget", "num_images")
    train = {name: value for name in lengths if (value := getattr(settings.train, name)) is not None}
    request = {"recipe": settings.recipe, "data": {"source": settings.data.source}, "train": train}
    if folder.exists():
        with folder.locked():
            if origin["trajectories"] is None and differences(
                FoundRun(folder, folder.read_record()).settings, settings
            ):
                shutil.rmtree(folder.trajectories, ignore_errors=True)  # as many as another length has time for
            folder.rewrite(request, record)
    else:
        folder.create(request, record, content)
