"""Does every export make the model's images? Recipes x formats x sizes x channels x classes, each one exported.

    python benchmarks/export_matrix.py --processes 2
    python benchmarks/export_matrix.py --only 28x28x1

A cell is a tiny network of a recipe with drawn weights, brought into a run by `import --state_dict`, exported by
`Run.export` and read again in a process without fromnoise: the same noise must become the images that the run's
sampler makes (of ONNX without its sampler and of torch.export, the denoiser's x0). Cells that are in the folder of
--work are not made again. A cell that fails is a row with its reason, is tried again the next time, and makes the exit
code 1. Writes docs/results/export-matrix.json and .md, with --only nothing; the tests take a subset in which every pair
of values meets.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, in_words, keep, machine, table
from torch import Tensor

from fromnoise.common.errors import CheckpointError, FromNoiseError
from fromnoise.export.verification import TOLERANCE, Reference, in_unit_range, on_cpu, reference, run_check
from fromnoise.model.build import build_denoiser, model_spec
from fromnoise.model.trained_model import TrainedModel
from fromnoise.recipes.resolve import Request
from fromnoise.run import Run
from fromnoise.run.importing import import_state_dict
from fromnoise.run.metadata import versions

STEPS = 5
ALIKE = 0.01  # standard deviation of images, black 0 and white 1, that would hide a difference
_TINY = {"net.channels": (32, 32), "net.unet2d": '{"layers_per_block": 1}'}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {"net.width": 8, "net.depth": 1}),
    "ddpm": ("ddpm", _TINY),
    "ddpm, flow": (
        "ddpm",
        {
            **_TINY,
            "process.kind": "linear",
            "objective.prediction": "velocity",
            "objective.time_sampling": "uniform",
            "sample.sampler": "euler",
            "sample.grid": "flow",
            "sample.clip": False,
        },
    ),
    "chapter-basic": ("chapter-basic", {}),
    "chapter-unet2d": ("chapter-unet2d", _TINY),
}
"""A row's recipe, and what makes its network small or is another of its kinds."""
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "diffusers": ("diffusers", "model", {}),
    "onnx": ("onnx", "model.onnx", {}),
    "onnx --sampler": ("onnx", "model.onnx", {"whole_sampler": True, "steps": 2}),
    "torch": ("torch", "model.pt2", {}),
    "html": ("html", "model.html", {}),
}
"""How each format is exported: the kind and the name of the file for `Run.export`, and its arguments. An unrolled
sampler takes the exporter seconds for every evaluation, so it has two steps."""
SIZES, CHANNELS, CLASSES = ((28, 28), (30, 33), (64, 64)), (1, 3, 4), (True, False)


@dataclass(frozen=True)
class Cell:
    """One place of the matrix."""

    recipe: str
    format: str
    size: tuple[int, int]
    channels: int
    classes: bool

    def __str__(self) -> str:
        kind = "classes" if self.classes else "no classes"
        return f"{self.recipe}, {self.format}, {self.size[0]}x{self.size[1]}x{self.channels}, {kind}"


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: as in `Exported`, and the largest difference after reloading; or why it was refused,
    or how it failed."""

    about: str = ""
    announced: float | None = None
    difference: float | None = None
    bytes: int = 0
    seconds: float = 0.0
    refused: str = ""
    failed: str = ""


CELLS = [Cell(*one) for one in itertools.product(RECIPES, FORMATS, SIZES, CHANNELS, CLASSES)]
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "dynamic thresholding": ("onnx --sampler", {"threshold": 0.9}),
    "dynamic thresholding, page": ("html", {"threshold": 0.9}),
    "guidance rescale, page": ("html", {"guidance_rescale": 0.5}),
}
"""What a format cannot hold: the format, and the setting on which it has to be refused."""


def pairs(cell: Cell) -> set[tuple[int, Any, int, Any]]:
    """Every pair of values that meet in `cell`, with their places."""
    values = enumerate(astuple(cell))
    return {(*one, *other) for one, other in itertools.combinations(values, 2)}


def pairwise(cells: Sequence[Cell] = CELLS) -> list[Cell]:
    """A subset in which every pair of values meets that meets in `cells`: always the cell that adds most of them."""
    wanted: set[Any] = set().union(*map(pairs, cells))
    chosen: list[Cell] = []
    while wanted:
        best = max(cells, key=lambda cell: len(pairs(cell) & wanted))
        chosen.append(best)
        wanted -= pairs(best)
    return chosen


def run_of(cell: Cell, folder: Path) -> Run:
    """A run in `folder` whose network has drawn weights: time, class and image matter in it at once."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (12, *cell.size, cell.channels), dtype=np.uint8)
    labels: dict[str, Any] = {"labels": np.arange(12) % 3} if cell.classes else {}
    np.savez(folder / "images.npz", images=images, **labels)
    recipe, changes = RECIPES[cell.recipe]
    guided = {"sample.guidance_scale": 2.0, "objective.label_dropout": 0.1} if cell.classes else {}
    settings = {"net.class_conditioning": cell.classes, "sample.steps": STEPS, **guided, **changes}
    settings["train.mixed_precision"] = "no"  # as exports compute, so that the run's own samples are comparable
    data = str(folder / "images.npz")
    for seed in range(20):
        net = _drawn(Request.read(data, recipe, None, settings), seed)
        torch.save(net.state_dict(), folder / "weights.pt")
        import_state_dict(folder / "weights.pt", folder / f"run-{seed}", data, recipe, settings)
        run = Run(folder / f"run-{seed}", device="cpu")
        if reference(on_cpu(run.model())).images.std() > ALIKE:  # a network may be drawn that makes all of them black
            return run
    raise AssertionError("every network that was drawn makes images that are all alike")


def _drawn(request: Request, seed: int) -> torch.nn.Module:
    from fromnoise.data import load

    images = load(request.data_options())
    settings = request.settings(request.context(images), request.data_options())
    denoiser = build_denoiser(settings, model_spec(images.spec, settings), 0.5)
    torch.manual_seed(seed)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1)
    return denoiser.net


def outcome(cell: Cell, folder: Path) -> Outcome:
    """What comes of `cell`, made in the empty `folder`."""
    began = time.monotonic()
    kind, name, arguments = FORMATS[cell.format]
    run, path = run_of(cell, folder), folder / name
    if kind == "html":
        arguments = {**arguments, "runtime": _runtime(folder)}
    try:
        done = run.export(kind, path, **arguments)
    except CheckpointError:
        raise  # it differs, or cannot be read again
    except FromNoiseError as error:
        return Outcome(refused=f"{error} (exit code {error.exit_code})")
    sampling = {"steps": arguments["steps"]} if "steps" in arguments else {}
    found = done.difference  # of a folder for diffusers: its export has read it again in such a process
    if kind != "diffusers":
        found = difference(on_cpu(run.model(**sampling)), cell.format, path)
    size = sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())
    return Outcome(done.about, done.difference, found, size, round(time.monotonic() - began, 1))


def _runtime(folder: Path) -> Path:
    """A folder in the place of onnxruntime-web: the page's network and tables are read without it."""
    from fromnoise.export.runtime import BINARY, SCRIPT

    place = folder / "runtime"
    place.mkdir()
    for name in (SCRIPT, BINARY):
        (place / name).write_bytes(b"\n")
    return place


def difference(model: TrainedModel, kind: str, path: Path) -> float:
    """The largest, black 0 and white 1, of what the export makes in a process of its own from what `model` makes."""
    expected = reference(model)
    inputs = expected.arrays()
    assert expected.images.std() > ALIKE, "samples that are all alike would hide a difference"
    if kind in ("onnx", "torch"):
        expected, inputs = _denoised(model, expected)
    inputs["guidance_scale"] = np.float32(model.sampling.guidance_scale)
    made = run_check(str(Path(__file__).with_name("reload_export.py")), path, inputs)
    return expected.difference(in_unit_range(made, model.spec.low, model.spec.high))


def _denoised(model: TrainedModel, given: Reference) -> tuple[Reference, dict[str, Any]]:
    """One evaluation of the denoiser at several times as a reference, and its inputs."""
    t = torch.linspace(0.2, 0.9, len(given.noise)) * model.process.t_max
    with torch.no_grad():
        x0: Tensor = model.denoiser(given.noise, t.double(), given.labels).x0
    images = in_unit_range(x0, model.spec.low, model.spec.high)
    return replace(given, images=images), {**given.arrays(), "t": t.numpy()}


def refusal(case: str, folder: Path) -> str:
    """The sentence with which a case of REFUSED is refused."""
    kind, settings = REFUSED[case]
    run = run_of(Cell("default", kind, (28, 28), 1, True), folder)
    what, name, arguments = FORMATS[kind]
    more = {"runtime": _runtime(folder)} if what == "html" else {}
    try:
        run.export(what, folder / name, **{**arguments, **more, **settings})
    except FromNoiseError as error:
        assert not (folder / name).exists()
        return f"{error} (exit code {error.exit_code})"
    raise AssertionError(f"{kind} took {settings}")


def on_one_thread() -> None:
    """In this process, and in those that it starts to read exports again."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


def done(place: tuple[str, Cell]) -> dict[str, Any]:
    """A cell with its outcome, read from the work folder or made and, unless it failed, kept there."""
    work, cell = Path(place[0]), place[1]
    kept = work / (str(cell).replace(" ", "_").replace(",", "") + ".json")
    if kept.exists():
        return {**asdict(cell), **asdict(Outcome(**json.loads(kept.read_text())))}
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(cell, Path(folder))
        if found.difference is not None and not found.difference <= TOLERANCE:
            found = replace(found, failed=f"its images differ by {found.difference:.2g}")
    except Exception as error:  # of a library, too: the other cells are made all the same
        found = Outcome(failed=f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}")
    if not found.failed:
        kept.write_text(json.dumps(asdict(found)))
    return {**asdict(cell), **asdict(found)}


def page(found: dict[str, Any]) -> str:
    """Markdown: for each recipe and format the largest difference of its cells, and what was refused."""
    rows = []
    for recipe, kind in itertools.product(RECIPES, FORMATS):
        cells = [one for one in found["cells"] if (one["recipe"], one["format"]) == (recipe, kind)]
        by_size = [[c for c in cells if tuple(c["size"]) == size] for size in SIZES]
        shown = [", ".join(sorted({c["about"].partition(";")[0] for c in cells if kind == "diffusers"})) or "–"]
        rows.append([recipe, kind, *(_largest(group) for group in by_size), *shown])
    heading = ["recipe", "format", *(f"{h}x{w}" for h, w in SIZES), "pipeline"]
    reasons = [[case, REFUSED[case][0], reason] for case, reason in found["refused"].items()]
    reasons += [[named(c), "", c["refused"]] for c in found["cells"] if c["refused"]]
    failures = [[named(c), c["failed"]] for c in found["cells"] if c["failed"]]
    failed = f"Failed:\n\n{table(['what', 'how'], failures)}\n\n" if failures else ""
    about = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        "# Every export beside its model\n\n"
        f"`{found['command']}`: {len(found['cells'])} cells, recipe x format x size x channels (1, 3, 4) x classes "
        f"(with, then guided, and without), {STEPS} steps, each with a tiny network of drawn weights. The same noise "
        "goes through the run and through the export, read again in a process without fromnoise. A table's cell is the "
        f"largest difference of six, black 0 and white 1; at most {TOLERANCE:g}, half a grey level, is accepted.\n\n"
        f"{table(heading, rows)}\n\n"
        "[export-matrix.json](export-matrix.json) has every cell. Refused, with the reason:\n\n"
        f"{table(['what', 'format', 'reason'], reasons)}\n\n{failed}"
        f"{in_words(found['machine'])}; {about}.\n"
    )


def named(cell: dict[str, Any]) -> str:
    """A cell with its outcome, in words."""
    size = (cell["size"][0], cell["size"][1])
    return str(Cell(cell["recipe"], cell["format"], size, cell["channels"], cell["classes"]))


def _largest(cells: Iterable[dict[str, Any]]) -> str:
    cells = list(cells)
    found = [one["difference"] for one in cells if one["difference"] is not None]
    words = f"{max(found):.1e}" if found else "refused" if any(one["refused"] for one in cells) else "–"
    failed = sum(bool(one["failed"]) for one in cells)
    return f"{words} ({failed} failed)" if failed else words


def library_versions() -> dict[str, str]:
    """Of what exports and reads."""
    import onnx
    import onnxruntime

    return {**versions(), "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}


def main() -> int:
    """Make all cells, and write both files; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/export-matrix"))
    parser.add_argument("--only", metavar="TEXT", help='cells that bear it, such as "torch" or "default, html, 28x28"')
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    chosen = [cell for cell in CELLS if not args.only or args.only in str(cell)]
    cells = []
    # a worker is replaced after some cells, as tracing leaves memory behind
    with get_context("spawn").Pool(args.processes, on_one_thread, maxtasksperchild=40) as pool:
        for one in pool.imap(done, [(str(args.work), cell) for cell in chosen]):
            cells.append(one)
            said = one["failed"] or one["refused"] or f"{one['difference']:.1e}"
            print(f"{len(cells)} of {len(chosen)}: {named(one)}: {said}", flush=True)
    failed = any(one["failed"] for one in cells)
    if args.only:
        return int(failed)
    refused = {}
    for case in REFUSED:
        with tempfile.TemporaryDirectory() as folder:
            refused[case] = refusal(case, Path(folder))
    command = "python benchmarks/export_matrix.py"
    about = {"command": command, "machine": machine(), "versions": library_versions()}
    found = {**about, "refused": refused, "cells": cells}
    keep(RESULTS / "export-matrix", found, page(found))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
