"""Models of others as runs: read, compared with what they were, and only then written.

A folder for diffusers is sampled by diffusers in a fresh process, from the same noise as the run. Of an export with its
own code nothing is executed: its sampler's tables are compared number by number with those of the run's sampler.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from fromnoise.common.errors import CheckpointError, DataError, UsageError, WriteError, choose
from fromnoise.common.files import read_regular
from fromnoise.common.options import replaced, to_dict
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import MOST_BYTES, parse_object
from fromnoise.common.text import file_part, printable
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import load
from fromnoise.diffusion.samplers.loop import starting_point
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.export.diffusers_files import sampler_config
from fromnoise.export.stock_reading import CHOICES
from fromnoise.export.verification import TOLERANCE, reference, run_check
from fromnoise.model.build import build_denoiser, model_spec
from fromnoise.model.trained_model import TrainedModel
from fromnoise.run.card import write_run_card
from fromnoise.run.diffusers_source import CLASS_TABLE, DiffusersSource, is_diffusers_folder, loaded, read_diffusers
from fromnoise.run.folder import RunFolder
from fromnoise.run.hub import downloaded, is_hub_id
from fromnoise.run.metadata import facts_of_images, versions
from fromnoise.run.opened import OpenedRun
from fromnoise.run.staging import staged_run, vacant
from fromnoise.run.state_dict import read_state_dict
from fromnoise.train.checkpoint import FORMAT
from fromnoise.train.checkpoint_files import write_checkpoint

FEW_STEPS = 20  # of a comparison where all of them take long
MANY_STEPS = 100


@dataclass(frozen=True)
class Imported:
    """path: the run folder. difference: the largest from the source's samples, black 0 and white 1; None where there is
    nothing to compare with. notes: sentences on what is other than it was."""

    path: Path
    difference: float | None = None
    notes: tuple[str, ...] = ()


def import_diffusers(
    source: str | Path,
    output_dir: str | Path | None = None,
    *,
    data: str | None = None,
    steps: int | None = None,
    sampler: str | None = None,
) -> Imported:
    """Make a run folder of a folder that diffusers loads, or of a model of the Hub.

    Arguments:
        source: the folder, or owner/name.
        output_dir: runs/<name>-imported if not given.
        data: the images that the run is to be evaluated on, as for `Run.create`.
        steps: of sampling; as many as the source takes if not given.
        sampler: "ddpm" or "ddim" of ours, in the place of the source's scheduler; compared with diffusers' own.

    Raises:
        CheckpointError: for a source that is broken, that our settings cannot hold, or whose images differ.
        DataError: for data that cannot be read or has another shape, and where the Hub cannot be reached.
        UsageError: where output_dir holds something.
        WriteError: where it cannot be written.
    """
    if sampler is not None:
        choose("sampler of an import", sampler, CHOICES)
    path, name = _at_hand(source)
    target = _vacant(output_dir, name)
    with _whole(path) as (folder, note):
        if not is_diffusers_folder(folder):
            raise CheckpointError(
                f"{printable(str(source))} holds no model_index.json; give a folder that diffusers' save_pretrained or "
                "`fromnoise export --to diffusers` wrote, or owner/name of the Hub"
            )
        found, images = _with_images(read_diffusers(folder, steps, name, sampler), data)
        found = replace(found, notes=(*found.notes, *filter(None, [note])))
        model = _model(found)
        if found.own_code:
            _check_tables(folder, model)
        difference = None if found.own_code else _difference(folder, model, found)
    origin = {"from": printable(name), "largest_difference": difference, "notes": list(found.notes)}
    _write(target, found, images, origin)
    return Imported(target, difference, found.notes)


def import_state_dict(
    file: str | Path, output_dir: str | Path | None, data: str, recipe: str, settings: Mapping[str, Any]
) -> Imported:
    """Make a run folder of a file that torch.save wrote of a network's state dict; nothing in it is executed.

    data: the images that it was trained on. recipe, settings: of the network and how it samples. Errors as for
    `import_diffusers`.
    """
    target = _vacant(output_dir, Path(file).stem)
    found, images = read_state_dict(Path(file), data, recipe, settings)
    _model(found)
    _write(target, found, images, {"from": printable(found.name), "notes": list(found.notes)})
    return Imported(target, None, found.notes)


def _at_hand(source: str | Path) -> tuple[Path, str]:
    """(folder, name) of a source."""
    path = Path(source)
    if not os.path.exists(path) and is_hub_id(str(source)):  # noqa: PTH110 - False also where nobody may look
        return downloaded(str(source)), str(source)
    if not os.path.isdir(path):  # noqa: PTH112
        raise CheckpointError(f"there is no folder {printable(str(source))}; give one, or owner/name of the Hub")
    return path, path.resolve().name


def _vacant(output_dir: str | Path | None, name: str) -> Path:
    return vacant(Path(output_dir) if output_dir else Path("runs") / f"{file_part(name.rpartition('/')[2])}-imported")


@contextmanager
def _whole(path: Path) -> Iterator[tuple[Path, str]]:
    """(the folder of a pipeline, what is to be said of it): `path`, or of a training's checkpoint its averaged network
    with the rest of the pipeline that lies above it."""
    above = path.absolute().parent
    networks = [path / name for name in ("unet_ema", "unet") if (path / name / "config.json").is_file()]
    if is_diffusers_folder(path) or not networks or not is_diffusers_folder(above):
        yield path, ""
        return
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch)
        try:
            shutil.copy(above / "model_index.json", whole)
            shutil.copytree(networks[0], whole / "unet")
            if (above / "scheduler").is_dir():
                shutil.copytree(above / "scheduler", whole / "scheduler")
        except OSError as error:
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
            raise WriteError(
                f"{printable(str(path))} cannot be copied to {scratch} ({reason}); set TMPDIR to a folder with space"
            ) from error
        yield whole, f"the network is {path.name}/{networks[0].name}, the scheduler that of the pipeline above it"


def _with_images(found: DiffusersSource, source: str | None) -> tuple[DiffusersSource, ArrayData | None]:
    """`found` with the images to evaluate on; DataError where they are not of the model's shape."""
    if source is None:
        return found, None
    options = replace(found.settings.data, source=source)
    images = load(options)
    spec = replace(model_spec(images.spec, found.settings), guidance_input=found.spec.guidance_input)
    if found.numbered:
        found = _named(found, spec.classes)
    if spec != found.spec:
        raise DataError(f"--data has {spec}, but the model makes {found.spec}; give images that it was trained on")
    return replace(found, settings=replace(found.settings, data=options)), images


def _named(found: DiffusersSource, classes: tuple[str, ...]) -> DiffusersSource:
    """`found` with names for its classes, where there are as many, or one less: then its last one is "no class"."""
    more = len(found.spec.classes) - len(classes)
    if not classes or more not in (0, 1):
        return found
    named = replace(found, spec=replace(found.spec, classes=classes), label_counts=(1,) * len(classes), numbered=False)
    if not more:
        return named
    weights = {**found.weights, CLASS_TABLE: found.weights[CLASS_TABLE][:-1]}
    return replace(named, weights=weights, settings=replaced(found.settings, {"objective.label_dropout": 0.1}))


def _model(found: DiffusersSource) -> TrainedModel:
    try:
        denoiser = build_denoiser(found.settings, found.spec, found.sigma_data)
    except UsageError as error:
        raise CheckpointError(f"{found.name} has settings that do not go together: {error}") from error
    loaded(denoiser.net, found.weights, found.name)
    about: Any = {"images": found.images, "weights": "raw", "distilled": bool(found.distilled)}
    return TrainedModel(denoiser.eval(), found.settings.sample, found.label_counts, **about)


def _difference(path: Path, model: TrainedModel, found: DiffusersSource) -> float:
    """The largest from what diffusers makes of the same noise; CheckpointError beyond TOLERANCE."""
    report_progress("comparing with the samples of diffusers ...")
    model = _quicker(model, found)
    expected = reference(model)
    # diffusers begins with noise of level 1 wherever its steps begin, ours with that of its first time.
    start = float(grid_named(model.sampling.grid, model.process)(model.process, model.sampling.steps)[0])
    noise = starting_point(model.process, expected.noise, start).numpy()
    more = {"steps": model.sampling.steps, "variant": found.variant, "scheduler": found.scheduler}
    try:
        images = run_check("check_diffusers.py", path, {**expected.arrays(), **more, "noise": noise})
    except CheckpointError as error:
        raise CheckpointError(f"{printable(str(path))}: diffusers cannot sample with it: {error}") from error
    difference = expected.difference(images)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the run's samples differ from those of {printable(found.name)} by {difference:.2g} (black 0, white 1), "
            f"but at most {TOLERANCE:g} was expected; nothing was written"
        )
    return difference


def _quicker(model: TrainedModel, found: DiffusersSource) -> TrainedModel:
    """`model` with few steps where it takes all of its table."""
    table, options = found.settings.process.steps, model.sampling
    if options.steps != table or table <= MANY_STEPS or found.spacing not in ("leading", "trailing"):
        return model
    if options.sampler == "ddpm_large" and found.spacing == "trailing":
        return model  # diffusers adds noise in the last of fewer steps
    few = max(n for n in range(1, FEW_STEPS + 1) if table % n == 0)
    return replace(model, sampling=replace(options, steps=few, grid=found.spacing))


def _check_tables(path: Path, model: TrainedModel) -> None:
    """CheckpointError where an export's sampler is not the one that its settings name."""
    try:
        stored = parse_object(read_regular(path / "scheduler/scheduler_config.json", MOST_BYTES))
        if not isinstance(stored.get("plans"), Mapping):
            raise ValueError("it has no plans")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"scheduler/scheduler_config.json cannot be read ({error}); give a whole folder"
        ) from error
    own = sampler_config(model, "")
    plans = set(own["plans"]) & set(stored["plans"])
    own["plans"], stored["plans"] = ({n: one["plans"][n] for n in plans} for one in (own, stored))
    names = set(own) - {"_diffusers_version", "steps"}  # how many steps the run takes may be others
    unlike = sorted(name for name in names if not _alike(own[name], stored.get(name)))
    if unlike or not plans:
        raise CheckpointError(
            f"scheduler/scheduler_config.json is of another sampler than fromnoise-export.json "
            f"({', '.join(unlike) or 'plans'}); export the model again"
        )


def _alike(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal, numbers but for rounding."""
    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and set(one) == set(other) and all(_alike(one[n], other[n]) for n in one)
    if isinstance(one, list | tuple):
        return isinstance(other, list) and len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)


def _write(target: Path, found: DiffusersSource, images: ArrayData | None, origin: Mapping[str, Any]) -> None:
    """Write the run beside its place, and then put it there."""
    settings = found.settings
    without = {"name": printable(found.name), "about": str(found.spec), "count": 0, "fingerprint": "", "range": "full"}
    unseen = {**without, "label_counts": list(found.label_counts), "notes": []}
    record = {
        "settings": to_dict(settings),
        "context": {},
        "spec": found.spec.to_json(),
        "sigma_data": found.sigma_data,
        "parameters": sum(value.numel() for value in found.weights.values()),
        "data": unseen if images is None else facts_of_images(images),
        "versions": versions(),
        "imported": dict(origin),
        **({"distilled": dict(found.distilled)} if found.distilled else {}),
    }
    state = {"format": FORMAT, "step": 0, "images": found.images, "total": found.images}
    weights = {name: value.contiguous() for name, value in found.weights.items()}
    with staged_run(target) as staged:
        folder = RunFolder(staged)
        folder.create({"recipe": settings.recipe, "data": {"source": settings.data.source}}, record)
        write_checkpoint(
            folder.checkpoints,
            found.images,
            {"model.safetensors": save(weights), "state.json": json.dumps(state).encode()},
        )
        run = OpenedRun(staged, device="cpu")
        run.model()  # reads all of it again
        write_run_card(run, target.resolve().name)
