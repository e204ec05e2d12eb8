"""Exports of a run: made beside their place, compared with the model in a fresh process, and only then put there."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.common.files import write_bytes, write_json
from fromnoise.common.version import __version__
from fromnoise.export.diffusers_files import DiffusersFiles, diffusers_files
from fromnoise.export.verification import TOLERANCE, on_cpu, reference, run_check
from fromnoise.report.model_card import CardContents, model_card
from fromnoise.run.facts import facts

if TYPE_CHECKING:
    from fromnoise.model.trained_model import TrainedModel
    from fromnoise.run.opened import OpenedRun

MARK = "fromnoise-export.json"  # a folder that holds it is an export of ours, and may be replaced by another


@dataclass(frozen=True)
class Exported:
    """path: what was written. difference: the largest from the model's own samples, black 0 and white 1. about: how."""

    path: Path
    difference: float
    about: str


def export_diffusers(run: OpenedRun, model: TrainedModel, path: Path, licence: str = "other") -> Exported:
    """Write `model` as a diffusers folder to `path`, replacing an export that is there.

    Raises:
        UsageError: where `path` holds something else than an export, and for a model that no folder can hold.
        CheckpointError: where the folder, loaded again, does not make the model's samples; nothing is written then.
        WriteError: where `path` cannot be written.
    """
    model = on_cpu(model)
    made = diffusers_files(model, run.settings)
    with staged_folder(path) as folder:
        for name, content in made.files.items():
            write_bytes(folder / name, content)
        difference = _compare(model, folder)
        image = _sample_image(run)
        if image:
            write_bytes(folder / "samples.png", image)
        card = CardContents(
            title=f"{run.metadata['data']['name']}, {run.settings.recipe}",
            facts=facts(run),
            usage=_usage(made, model),
            evaluation=run.folder.read_json(run.folder.evaluation),
            image="samples.png" if image else "",
            licence=licence,
            exported=_export_rows(model, difference, made),
            library="diffusers",
        )
        write_bytes(folder / "README.md", model_card(card).encode())
        write_json(folder / MARK, _mark("diffusers", model, difference))
    return Exported(path, difference, made.stock.pipeline if made.stock else "its own pipeline.py")


def _compare(model: TrainedModel, folder: Path) -> float:
    """The largest difference between the model's samples and those of the folder, which must be within TOLERANCE."""
    expected = reference(model)
    images = run_check("check_diffusers.py", folder, {**expected.arrays(), "steps": model.sampling.steps})
    return accepted(expected.difference(images))


def accepted(difference: float) -> float:
    """`difference`, or CheckpointError where it is beyond TOLERANCE."""
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the export's samples differ from the model's by {difference:.2g} (black 0, white 1), but at most "
            f"{TOLERANCE:g} was expected; nothing was written"
        )
    return difference


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` to write to, which takes its place at the end, or goes with an error.

    Raises:
        UsageError: where `path` is something else than an export of ours.
        WriteError: where it cannot be written.
    """
    if path.exists() and not (path / MARK).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"'{path}' is there and is not an export of fromnoise; give another name, or remove it")
    token = uuid.uuid4().hex[:12]
    folder, old = (path.with_name(f".{kind}-{token}") for kind in ("export", "trash"))
    try:
        folder.mkdir(parents=True)
        yield folder
        if path.exists():
            path.rename(old)
        try:
            folder.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        raise WriteError(
            f"cannot write '{path}' ({error.strerror or error}); choose a place you may write to"
        ) from error
    finally:
        for left in (folder, old):
            shutil.rmtree(left, ignore_errors=True)


def _mark(kind: str, model: TrainedModel, difference: float) -> dict[str, Any]:
    return {
        "format": kind,
        "fromnoise": __version__,
        "images_seen": model.images,
        "weights": model.weights,
        "largest_difference": difference,
    }


def _export_rows(model: TrainedModel, difference: float, made: DiffusersFiles) -> list[tuple[str, str]]:
    rows = [
        ("weights", f"{model.weights}, after {model.images:,} images"),
        (
            "compared",
            f"samples of {model.sampling.steps} steps from the same noise, loaded in a fresh process: the "
            f"largest difference is {difference:.1e} (black 0, white 1)",
        ),
    ]
    if made.stock:
        return [*rows, ("pipeline", f"the stock {made.stock.pipeline} with {made.stock.scheduler}")]
    return [*rows, ("pipeline", "pipeline.py of this folder"), ("why not a stock pipeline", "; ".join(made.reasons))]


def _usage(made: DiffusersFiles, model: TrainedModel) -> str:
    own, spec = model.sampling, model.spec
    trust = "" if made.stock else ", trust_remote_code=True"
    call = "class_labels=[0, 0]" if spec.classes else "batch_size=2"
    lines = [
        "```python",
        "from diffusers import DiffusionPipeline",
        "",
        f'pipe = DiffusionPipeline.from_pretrained("."{trust})  # this folder, or its name on the Hub',
        f"images = pipe({call}, num_inference_steps={own.steps}).images",
        'images[0].save("sample.png")',
        "```",
    ]
    if not made.stock:
        code = "`pipeline.py`, `scheduler/sampler.py` and `unet/network.py`"
        lines += ["", f"The folder brings its own code, which it runs: {code}. Read it first."]
    return "\n".join(lines)


def _sample_image(run: OpenedRun) -> bytes | None:
    """The run's own figure of samples, else its last preview, else None."""
    there = [run.folder.figures / "samples.png", *sorted(run.folder.samples.glob("preview-*.png"), reverse=True)]
    return next((path.read_bytes() for path in there if path.is_file()), None)


EXPORTS = {"diffusers": export_diffusers}
"""How each format is written, by name: (run, model, path, licence) -> Exported."""
