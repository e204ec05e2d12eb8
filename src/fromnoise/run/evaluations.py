"""Evaluations on disk: what `fromnoise.evaluation` measures, written into a run folder or beside samples of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fromnoise.common.files import write_json
from fromnoise.common.stored_json import write_stored
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluate import EvaluationSpec, evaluate_in_shares
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.extended import left_out, measure_extended
from fromnoise.evaluation.external_samples import evaluate_external
from fromnoise.evaluation.matching import read_matched
from fromnoise.evaluation.measure import Measured
from fromnoise.evaluation.sweep import Sweep, sweep, sweep_figures
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import save
from fromnoise.metrics.frechet import save_statistics
from fromnoise.model.shares import by_turns, in_first, shared
from fromnoise.model.trained_model import TrainedModel
from fromnoise.report.evaluation_sections import evaluation_sections
from fromnoise.report.html import page, write_page
from fromnoise.run.folder import RunFolder
from fromnoise.settings import SampleSettings


def evaluate_into(
    folder: RunFolder,
    model: TrainedModel,
    train: ArrayData,
    test: ArrayData | None,
    num: int,
    spec: EvaluationSpec | None,
    extended: bool = False,
    statistics_to: str | Path | None = None,
) -> Evaluation:
    """Evaluate `model` and write evaluation.json and figures/closest.png; inside `sharing` process 0 writes.

    Arguments:
        extended: also measure what takes minutes; what is known before is written first.
        statistics_to: an .npz file for the statistics of the training images.

    Raises:
        BusyError: while another process evaluates this run.
    """
    with _held(folder, "evaluate"):
        measured = evaluate_in_shares(model, train, test, num, spec or EvaluationSpec())

        def written() -> Evaluation:
            assert measured is not None  # process 0 has it
            _write(measured, folder.evaluation, folder.figures / "closest.png", statistics_to)
            return measured.evaluation

        def with_extended() -> Evaluation:
            assert measured is not None
            more = measure_extended(model, train, test, measured.samples)
            notes = (*measured.evaluation.notes, *filter(None, [left_out(more)]))
            write_json(folder.evaluation, (whole := replace(measured.evaluation, extended=more, notes=notes)).to_json())
            return whole

        evaluation = shared().first(written)
        return shared().first(with_extended) if extended else evaluation


def sweep_into(
    folder: RunFolder,
    models: Mapping[str, TrainedModel],
    axes: Mapping[str, Sequence[Any]],
    train: ArrayData,
    test: ArrayData | None,
    num: int,
    settings: SampleSettings,
    features: str,
    feature_weights: str | Path | None,
) -> Sweep:
    """Sweep `axes` and write sweep.json and its figures; BusyError while another process sweeps this run."""

    def write() -> None:
        write_stored(folder.sweep, swept.to_json())
        for name, figure in sweep_figures(swept).items():
            save(figure, folder.figures / f"{name}.png")

    with _held(folder, "sweep"):
        swept = sweep(
            models, axes, train, test, num, settings=settings, features=features, feature_weights=feature_weights
        )
        in_first(write)
    return swept


@contextmanager
def _held(folder: RunFolder, work: str) -> Iterator[None]:
    """The folder's lock, held by process 0 for all; BusyError in each of them where another command has it."""
    with ExitStack() as stack:
        in_first(lambda: stack.enter_context(folder.locked(work)))
        yield


def evaluate_files(
    samples: str,
    reference: str,
    spec: EvaluationSpec | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    output_dir: str | Path | None = None,
    statistics_to: str | Path | None = None,
) -> tuple[Evaluation, Path | None]:
    """(the Evaluation of the images in `samples` against the data `reference`, the report's path or None).

    Inside `sharing` the processes do it together, and process 0 writes.

    Arguments:
        samples: an .npz, folder or .zip; labels count where it has classes that the reference has too.
        settings: data options of the reference by name, such as resolution.
        output_dir: where evaluation.json, closest.png and report.html go.
        statistics_to: an .npz file for the statistics of the training images.

    Raises:
        DataError: where samples or reference cannot be read, or they are of different kinds.
    """
    read = by_turns(lambda: read_matched(samples, reference, settings or {}))
    images, train = read.samples, read.train
    measured = evaluate_external(images, train, read.test, spec, file=Path(samples).name, said=read.notes)

    def written() -> tuple[Evaluation, Path | None]:
        assert measured is not None  # process 0 has it
        if output_dir is None:
            _save_statistics(measured, statistics_to)
            return measured.evaluation, None
        folder = Path(output_dir)
        _write(measured, folder / "evaluation.json", folder / "closest.png", statistics_to)
        lead = f"{len(images):,} samples from {images.name}, measured against {train.name}."
        sections = evaluation_sections(measured.evaluation, png_bytes(measured.closest))
        return measured.evaluation, write_page(folder / "report.html", page(images.name, lead, sections))

    return shared().first(written)


def _write(measured: Measured, evaluation: Path, closest: Path, statistics_to: str | Path | None) -> None:
    write_json(evaluation, measured.evaluation.to_json())
    save(measured.closest, closest)
    _save_statistics(measured, statistics_to)


def _save_statistics(measured: Measured, path: str | Path | None) -> None:
    if path is not None:
        save_statistics(path, measured.reference.statistics, measured.reference.features.space)
