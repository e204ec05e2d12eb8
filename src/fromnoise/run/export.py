"""Exports of a run: made beside their place, loaded again and compared with the model, and only then put there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.files import check_writable, write_bytes, write_files, write_json
from fromnoise.common.text import some
from fromnoise.common.version import __version__
from fromnoise.export.verification import TOLERANCE, on_cpu, reference, run_check
from fromnoise.run.card import card_beside, card_content, model_title, write_card
from fromnoise.run.diffusers_source import MARK, described
from fromnoise.run.hub import check_hub, upload
from fromnoise.run.int8_quality import NUM, int8_quality
from fromnoise.run.staging import staged_folder

if TYPE_CHECKING:
    from fromnoise.export.diffusers_files import DiffusersFiles
    from fromnoise.export.int8 import Int8
    from fromnoise.export.onnx_file import OnnxFile
    from fromnoise.model.trained_model import TrainedModel
    from fromnoise.run.opened import OpenedRun


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and where to.

    Arguments:
        run: whose facts and measures the card shows.
        model: what is exported, with the sampling settings that it is to have.
        path: the folder or file to write.
        licence: for the card, an identifier such as "apache-2.0".
        sampler: for ONNX and torch: the whole sampler instead of the denoiser.
        half: for ONNX: in float16.
        int8: for ONNX: in 8 bits, "dynamic" or "static"; num: of samples by which the change is measured.
        runtime: for HTML: where onnxruntime-web is; None to download it once.
        private: for the Hub: seen by its owner alone.
    """

    run: OpenedRun
    model: TrainedModel
    path: Path
    licence: str = "other"
    sampler: bool = False
    half: bool = False
    int8: Int8 | None = None
    num: int = NUM
    runtime: Path | None = None
    private: bool = False


@dataclass(frozen=True)
class Exported:
    """path: what was written, or its address. difference: the largest from the model's own samples, black 0 and
    white 1. about: how."""

    path: Path | str
    difference: float
    about: str


def _check_conditions(model: TrainedModel, place: str) -> None:
    """UsageError for a model whose conditions `place` has no input for."""
    if names := [one.name for one in model.spec.conditions]:
        raise UsageError(
            f"this model is conditioned on {some(names)}, but {place} has no input for numbers; export it with "
            "--to onnx PATH or --to torch PATH"
        )


def export_diffusers(request: ExportRequest) -> Exported:
    """Write a folder for diffusers, replacing an export that is there.

    Raises:
        UsageError: where the path holds something else than an export, and for a model that no folder can hold.
        CheckpointError: where the folder, loaded again, does not make the model's samples; nothing is written then.
        WriteError: where the path cannot be written.
    """
    from fromnoise.export.diffusers_files import diffusers_files
    from fromnoise.export.usage import diffusers_usage

    _check_conditions(request.model, "a folder for diffusers")
    with staged_folder(request.path, MARK) as folder:
        model = on_cpu(request.model)
        made = diffusers_files(model, request.run.settings)
        for name, content in made.files.items():
            write_bytes(folder / name, content)
        expected = reference(model)
        inputs = {**expected.arrays(), "steps": model.sampling.steps}
        difference = _accepted(expected.difference(run_check("check_diffusers.py", folder, inputs)))
        compared = f"{len(expected.noise)} samples of {model.sampling.steps} steps from the same noise"
        rows = [*_rows(model, compared, difference), *_pipeline_rows(made)]
        usage = diffusers_usage(model, made.stock is not None)
        card: Any = {"licence": request.licence, "loader": "diffusers", "sampling": model.sampling}
        write_card(request.run, folder / "README.md", usage, rows, **card)
        own = replace(request.run.settings, sample=model.sampling)
        mark = {"run": described(own, model.spec, request.run.metadata)}
        write_json(folder / MARK, {**_mark("diffusers", model, difference), **mark})
    return Exported(request.path, difference, made.stock.pipeline if made.stock else "its own pipeline.py")


def export_onnx(request: ExportRequest) -> Exported:
    """Write an .onnx file, and its card beside it, the same name with .md behind it.

    Raises:
        UsageError: for another ending, a missing library, and for what ONNX cannot hold.
        CheckpointError: where the file does not compute what the model computes; nothing is written then.
        WriteError: where the path cannot be written.
    """
    from fromnoise.export.onnx_file import onnx_file
    from fromnoise.export.usage import onnx_usage

    path = _ending(request.path, ".onnx")
    card = card_beside(path)
    model = on_cpu(request.model)
    made = onnx_file(model, sampler=request.sampler, half=request.half, int8=request.int8)
    difference = made.difference / (model.spec.high - model.spec.low)
    compared = f"batches of 1 and 3 through onnxruntime and torch, {made.arithmetic}"
    words = f", {made.arithmetic}: {_sizes(made)}" if request.half else ""
    measured: list[tuple[str, str]] = []
    if request.int8:
        found = int8_quality(request.run, model, made, request.sampler, request.num)
        difference, compared = found.largest, found.compared
        words = f", {made.arithmetic}: {_sizes(made)}, Fréchet distance {found.distances}"
        measured = [("mean difference", f"{found.mean:.1e}"), ("Fréchet distance", found.distances)]
        measured += [("file", _sizes(made))]
    rows = [*_rows(model, compared, difference), *measured, *_onnx_rows(made)]
    usage = onnx_usage(model, made, path.name, request.sampler)
    write_files([(path, made.content), (card, _card(request, usage, rows))])
    return Exported(path, difference, f"{_part(request)}, opset {made.opset}{words}")


def export_torch(request: ExportRequest) -> Exported:
    """Write a .pt2 file of torch.export, and its card beside it, the same name with .md behind it.

    Raises:
        UsageError: for another ending, and for a sampler that cannot be unrolled.
        CheckpointError: where the file does not compute what the model computes; nothing is written then.
        WriteError: where the path cannot be written.
    """
    from fromnoise.export.torch_file import BATCHES, torch_file
    from fromnoise.export.usage import torch_usage

    path = _ending(request.path, ".pt2")
    card = card_beside(path)
    model = on_cpu(request.model)
    made = torch_file(model, sampler=request.sampler)
    difference = made.difference / (model.spec.high - model.spec.low)
    compared = f"batches of {some(list(map(str, BATCHES)), 3)} with torch.export.load in a process of its own"
    rows = [*_rows(model, compared, difference), *_input_rows(made.inputs), ("torch", torch.__version__)]
    usage = torch_usage(model, made, path.name, request.sampler)
    write_files([(path, made.content), (card, _card(request, usage, rows))])
    return Exported(path, difference, f"{_part(request)}, torch.export of torch {torch.__version__}")


def export_html(request: ExportRequest) -> Exported:
    """Write one .html file that samples in a browser, from file:// and without a network.

    Raises:
        UsageError: for another ending, a missing library or runtime, and for what the page cannot hold.
        DataError: where onnxruntime-web cannot be downloaded.
        CheckpointError: where the page's network does not make the model's images; nothing is written then.
        WriteError: where the path cannot be written.
    """
    from fromnoise.export.html_file import html_file
    from fromnoise.export.runtime import web_runtime

    _check_conditions(request.model, "a page")
    path = _ending(request.path, ".html", ".htm")
    made = html_file(on_cpu(request.model), model_title(request.run), web_runtime(request.runtime))
    write_bytes(path, made.content)
    weights = "float16 weights" if made.half else "float32 weights"
    return Exported(path, made.difference, f"{len(made.content) / 1e6:.1f} MB, {weights}")


def export_hub(request: ExportRequest) -> Exported:
    """Upload the folder for diffusers to the Hub, as the model OWNER/NAME that the request's path says.

    Raises:
        UsageError: without a token, for a bad name, and for a model there that is not an export of ours.
        CheckpointError: where the folder does not make the model's samples; nothing is uploaded then.
        WriteError: where the Hub cannot be reached or refuses.
    """
    name = request.path.as_posix()
    check_hub(name, request.private)
    with tempfile.TemporaryDirectory() as scratch:
        made = export_diffusers(replace(request, path=Path(scratch, "export")))
        address = upload(Path(scratch, "export"), name, request.private)
    return replace(made, path=address)


def export_space(request: ExportRequest) -> Exported:
    """Write a folder with a gradio app around the folder for diffusers, replacing an export that is there.

    Raises:
        UsageError: as `export_diffusers`.
        CheckpointError: where the pipeline or the app's own function does not make the model's samples.
        WriteError: where the path cannot be written.
    """
    from fromnoise.export.space_files import space_facts, space_files

    with staged_folder(request.path, MARK) as folder:
        made = export_diffusers(replace(request, path=folder / "model"))
        model, title = on_cpu(request.model), model_title(request.run)
        stock = not (folder / "model" / "pipeline.py").exists()
        write_json(folder / MARK, {**_mark("space", model, made.difference), **space_facts(model, title, stock)})
        expected = reference(model)
        built = "its page builds" if find_spec("gradio") else "its page was not tried, as gradio is not installed"
        about = f"app.py makes the model's images in 8 bits; {built}"
        for name, content in space_files(title, request.licence, f"Compared before it was written: {about}.").items():
            write_bytes(folder / name, content)
        images = run_check("check_space.py", folder, {**expected.arrays(), "steps": model.sampling.steps})
        _accepted(expected.difference(images), TOLERANCE + 0.5 / 255)
    return replace(made, path=request.path, about=about)


EXPORTS = {
    "diffusers": export_diffusers,
    "onnx": export_onnx,
    "torch": export_torch,
    "html": export_html,
    "space": export_space,
    "hub": export_hub,
}
"""How each format is written, by name."""


def _ending(path: Path, *endings: str) -> Path:
    """`path`, if it ends so and can be written; UsageError and WriteError otherwise."""
    if path.suffix.lower() not in endings:
        raise UsageError(f"'{path}' does not end in {endings[0]}; give the file a name that does")
    check_writable(path)
    return path


def _card(request: ExportRequest, usage: str, rows: list[tuple[str, str]]) -> bytes:
    """The card of one file: of the denoiser alone with the run's own sampling."""
    sampling = request.model.sampling if request.sampler else None
    return card_content(request.run, usage, rows, licence=request.licence, sampling=sampling)


def _part(request: ExportRequest) -> str:
    return "the sampler" if request.sampler else "the denoiser"


def _accepted(difference: float, most: float = TOLERANCE) -> float:
    """`difference`, or CheckpointError where it is more than `most`."""
    if not difference <= most:
        raise CheckpointError(
            f"the export's samples differ from the model's by {difference:.2g} (black 0, white 1), but at most "
            f"{most:g} was expected; nothing was written"
        )
    return difference


def _mark(kind: str, model: TrainedModel, difference: float) -> dict[str, Any]:
    return {
        "format": kind,
        "fromnoise": __version__,
        "images_seen": model.images,
        "weights": model.weights,
        "largest_difference": difference,
    }


def _rows(model: TrainedModel, compared: str, difference: float) -> list[tuple[str, str]]:
    largest = f"the largest difference is {difference:.1e} (black 0, white 1)"
    return [
        ("weights", f"{model.weights}, after {model.images:,} images"),
        ("compared", f"{compared}, loaded again: {largest}"),
    ]


def _pipeline_rows(made: DiffusersFiles) -> list[tuple[str, str]]:
    if made.stock:
        return [("pipeline", f"the stock {made.stock.pipeline} with {made.stock.scheduler}")]
    return [("pipeline", "pipeline.py of this folder"), ("why not a stock pipeline", "; ".join(made.reasons))]


def _onnx_rows(made: OnnxFile) -> list[tuple[str, str]]:
    return [("opset", str(made.opset)), ("arithmetic", made.arithmetic), *_input_rows(made.inputs)]


def _sizes(made: OnnxFile) -> str:
    return f"{len(made.content) / 1e6:.2f} MB instead of {made.size / 1e6:.2f} MB"


def _input_rows(inputs: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"input {name}", shape) for name, shape in inputs.items()]
