"""Beginning a run: from what was requested to a run folder, or to the run that is already there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.torch import save

from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import differences, replaced
from fromnoise.common.text import quoted, some
from fromnoise.data.download import available, expanded
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import is_gone, load
from fromnoise.data.registry import DATASETS
from fromnoise.evaluation.limits import check_count
from fromnoise.model.build import build_denoiser
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.recipes import trajectory_sampling
from fromnoise.recipes.resolve import Request, default_folder
from fromnoise.run.checkpoints import is_finished, newest_checkpoint
from fromnoise.run.disk_use import disk_use_of
from fromnoise.run.distill import obstacle
from fromnoise.run.folder import RunFolder
from fromnoise.run.going_on import FROM_INIT, FoundRun, Pairs
from fromnoise.run.initial_weights import InitialWeights, fit, read_initial_weights
from fromnoise.run.metadata import new_metadata, on_machine_of
from fromnoise.run.opened import OpenedRun
from fromnoise.settings import DataOptions, Settings
from fromnoise.train.distributed import current
from fromnoise.train.hardware import choose_graph, kind_of_device
from fromnoise.train.shared_update import check_shares

_READING = ("data.on_bad_image", "data.store")  # harmless settings that reading the images asks for


@dataclass(frozen=True)
class Begun:
    """A run folder that was made or found.

    Attributes:
        download_seconds: of the time that it took, spent on a download of the images.
        changes: settings of a run that was found, which are others now.
    """

    folder: RunFolder
    data: ArrayData
    download_seconds: float = 0.0
    changes: Pairs | None = None


def begin(
    request: Request,
    output_dir: Path | None,
    device: str,
    folder_kind: type[RunFolder] = RunFolder,
    few_steps: bool = False,
) -> Begun:
    """Make the run folder of `request`, or find it where the same run was begun; see `Run.create`.

    folder_kind: `DryRunFolder` to make none.
    """
    kind = kind_of_device(device)
    options = request.data_options()
    if output_dir is not None and _is_data(output_dir, options):
        raise UsageError(
            f"{output_dir} is the folder of the images, where a run would lie among them; choose another --output_dir"
        )
    images, download_seconds = _timed_load(options)
    context = request.context(images, kind)
    settings = request.settings(context, options)
    path = output_dir or default_folder(request.source, request.recipe, settings.train.seed, request.init)
    folder = folder_kind(path)
    if _is_begun(folder):
        return Begun(folder, images, download_seconds, _go_on(folder, request, context, images, few_steps))
    choose_graph(kind, settings.train.cuda_graph)  # refused before a folder is made
    initial = read_initial_weights(Path(request.init)) if request.init else None
    if initial:
        # A network without classes cannot be guided, so that it also brings how it samples.
        sampling = () if initial.settings.net.class_conditioning else ("sample.",)
        request = request.with_settings_of(initial.settings, settings, (*FROM_INIT, *sampling))
        settings = request.settings(context, options)
    if few_steps:
        _check_few_steps(settings, {})
    record = new_metadata(settings, images, context)
    if settings.train.train_batch_size > len(images):
        raise UsageError(
            f"train_batch_size is {settings.train.train_batch_size}, but there are only {len(images)} training "
            f"images; give at most {len(images)}"
        )
    check_shares(settings.train, current().world)
    if settings.train.evaluate_every:
        check_count(len(images), remedy="add more, or leave --evaluate_every out")
    use = disk_use_of(folder, settings.train, record)
    if use:
        use.check(path)
    weights = _initial(record, settings, initial, request.init) if initial else b""
    folder.create(request.tables(), record, weights)
    return Begun(folder, images, download_seconds)


def _check_few_steps(settings: Settings, record: Mapping[str, Any]) -> None:
    """UsageError for a run that could not be distilled. record: its config.json, as far as there is one."""
    if record.get("distilled"):
        raise UsageError("--few_steps distils the run, but this one is distilled already; leave --few_steps out")
    if found := obstacle(settings, trajectory_sampling(settings.sample)):
        raise UsageError(
            f"--few_steps distils the run, but this one {found[0]}; leave --few_steps out, or give another --recipe, "
            "such as default"
        )


def _check_budget(found: FoundRun, new: Settings) -> None:
    """UsageError where a run has finished with another budget than is left to train it in beside a distillation."""
    other = new.train.budget is not None and "train.budget" in differences(found.settings, new)
    if other and is_finished(found.folder):
        raise UsageError(
            f"{found.folder.path} is finished, and has no time left in a budget for --few_steps; distil it by itself: "
            f"`fromnoise distill {quoted(found.folder.path)}`"
        )


def resume(
    path: Path,
    source: str | None,
    recipe: str | None,
    config_file: Path | None,
    changes: Mapping[str, Any],
    folder_kind: type[RunFolder] = RunFolder,
    few_steps: bool = False,
) -> Begun:
    """The run in `path` with its stored settings and these `changes`; see `Run.resume` and `begin`."""
    folder = folder_kind(path)
    if not folder.exists() or newest_checkpoint(folder) is None:
        raise CheckpointError(f"nothing to resume in {path}: {_contents(folder)}")
    run = OpenedRun(path, device="cpu")
    if few_steps:
        _check_few_steps(run.settings, run.metadata)
    request = Request.read(source or run.settings.data.source, recipe or run.settings.recipe, config_file, changes)
    request.check()
    found = FoundRun(folder, run.metadata)
    reading = {name: value for name, value in request.changes.items() if name in _READING}
    run.settings = replaced(run.settings, reading)
    data, seconds = _timed_load(replace(run.settings.data, source=source)) if source else (run.data, 0.0)
    found.must_be_of(data)
    if request.recipe != run.settings.recipe:
        raise UsageError(
            f"{path} was trained with the recipe {run.settings.recipe}, but {recipe} is requested; leave out --recipe"
        )
    new = found.compared(request.changes, request.source)
    if few_steps:
        _check_budget(found, new)
    return Begun(folder, data, seconds, found.change(new))


def _is_begun(folder: RunFolder) -> bool:
    """Whether a run is there; WriteError where that cannot be seen, and so nothing be written either."""
    try:
        return folder.exists()
    except CheckpointError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise WriteError(f"cannot write in {folder.path} ({reason}); choose another --output_dir") from error


def _go_on(folder: RunFolder, request: Request, context: TrainingContext, images: ArrayData, few_steps: bool) -> Pairs:
    """What `request` changes of the run in `folder`; UsageError with the differences where it is another run."""
    found = FoundRun(folder, folder.read_record())
    found.must_be_of(images)
    if few_steps:
        _check_few_steps(found.settings, found.record)

    def resolve() -> Settings:
        return request.settings(on_machine_of(found.record, context), request.data_options())

    new = found.compared(request.changes, request.source)
    found.must_be_of_request(request, resolve)
    if few_steps:
        _check_budget(found, new)
    return found.change(new)


def _initial(record: dict[str, Any], settings: Settings, initial: InitialWeights, place: str | None) -> bytes:
    """The weights to start with, as a safetensors file, and what there is to say about them in `record`."""
    record["sigma_data"] = initial.sigma_data
    net = build_denoiser(settings, ImageSpec.from_json(record["spec"]), initial.sigma_data).net
    fitted = fit(net, initial)
    content = save({name: value.contiguous() for name, value in net.state_dict().items()})
    about = {"from": place, "about": initial.about, "fitted": str(fitted)}
    record["init"] = {**about, "scratch": list(fitted.scratch), "sha256": sha256(content).hexdigest()}
    return content


def _contents(folder: RunFolder) -> str:
    """What there is in place of a run with a checkpoint, and what to do."""
    if folder.exists():
        return (
            "the run was begun, but it holds no checkpoint; start it with the command that began it, `fromnoise train "
            "DATA --output_dir ...`"
        )
    if not folder.path.exists():
        return "there is no such folder; give one that `fromnoise train` made"
    names = sorted(path.name for path in folder.path.iterdir()) if folder.path.is_dir() else []
    there = f"it holds {some(names, 5)}, but no config.json" if names else "it is empty"
    return f"{there if folder.path.is_dir() else 'it is a file'}; give a folder that `fromnoise train` made"


def _is_data(path: Path, options: DataOptions) -> bool:
    """Whether a run at `path` would be the folder that its images come from."""
    known = options.source in DATASETS or is_gone(options)
    return not known and path.resolve() == expanded(options.source).resolve()


def _timed_load(options: DataOptions) -> tuple[ArrayData, float]:
    """The training images, and the seconds that a download of them took (0 where they were at hand)."""
    at_hand = options.source not in DATASETS or available(options.source)
    began = time.monotonic()
    images = load(options)
    return images, 0.0 if at_hand else time.monotonic() - began
