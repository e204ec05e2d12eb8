"""Beginning a run: from what was requested to a run folder, or to the run that is already there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import UsageError
from fromnoise.common.options import differences, from_dict
from fromnoise.data.download import available
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import is_gone, load
from fromnoise.data.registry import DATASETS
from fromnoise.evaluation.limits import check_count
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.resolve import Request, default_folder
from fromnoise.run.folder import RunFolder
from fromnoise.run.metadata import new_metadata, on_machine_of
from fromnoise.settings import DataOptions, Settings
from fromnoise.train.hardware import choose_graph, kind_of_device


@dataclass(frozen=True)
class Begun:
    """A run folder that was made or found; download_seconds: of that, spent on a download of the images."""

    folder: RunFolder
    data: ArrayData
    download_seconds: float


def begin(request: Request, output_dir: Path | None, device: str) -> Begun:
    """Make the run folder of `request`, or find it where the same run was begun; see `Run.create`."""
    kind = kind_of_device(device)
    options = request.data_options()
    if output_dir is not None and _is_data(output_dir, options):
        raise UsageError(
            f"{output_dir} is the folder of the images, where a run would lie among them; choose another --output_dir"
        )
    images, download_seconds = _timed_load(options)
    context = request.context(images, kind)
    settings = request.settings(context, options)
    path = output_dir or default_folder(request.source, request.recipe, settings.train.seed)
    folder = RunFolder(path)
    if folder.exists():
        _must_agree(folder, request, settings, context, images)
        return Begun(folder, images, download_seconds)
    choose_graph(kind, settings.train.cuda_graph)  # refused before a folder is made
    record = new_metadata(settings, images, context)
    if settings.train.train_batch_size > len(images):
        raise UsageError(
            f"train_batch_size is {settings.train.train_batch_size}, but there are only {len(images)} training "
            f"images; give at most {len(images)}"
        )
    if settings.train.evaluate_every:
        check_count(len(images), remedy="add more, or leave --evaluate_every out")
    folder.create(request.tables(), record)
    return Begun(folder, images, download_seconds)


def _must_agree(
    folder: RunFolder, request: Request, settings: Settings, context: TrainingContext, images: ArrayData
) -> None:
    """UsageError with the differences where the run in `folder` is not the one that is requested."""
    record = folder.read_record()
    own = from_dict(Settings(), record["settings"])
    if folder.read_request() == request.tables():  # as it was begun, also elsewhere or by an older recipe
        settings = own
    elif differences(own, settings):  # or in other words: then as on the machine that it was begun on
        settings = request.settings(on_machine_of(record, context), request.data_options())
    unlike: Mapping[str, tuple[Any, Any]] = differences(own, settings)
    fingerprints = (record["data"]["fingerprint"], images.fingerprint)
    if fingerprints[0] != fingerprints[1]:
        unlike = {**unlike, "the images": (fingerprints[0][:12], fingerprints[1][:12])}
    if unlike:
        listed = "; ".join(f"{name}: {old} there, {new} requested" for name, (old, new) in unlike.items())
        raise UsageError(
            f"{folder.path} holds another run ({listed}); request the same settings, or choose another --output_dir"
        )


def _is_data(path: Path, options: DataOptions) -> bool:
    """Whether a run at `path` would be the folder that its images come from."""
    return options.source not in DATASETS and not is_gone(options) and path.resolve() == Path(options.source).resolve()


def _timed_load(options: DataOptions) -> tuple[ArrayData, float]:
    """The training images, and the seconds that a download of them took (0 where they were at hand)."""
    at_hand = options.source not in DATASETS or available(options.source)
    began = time.monotonic()
    images = load(options)
    return images, 0.0 if at_hand else time.monotonic() - began
