"""What is drawn of a run: gathered from its folder, drawn by `fromnoise.report`, and written into the folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fromnoise.common.errors import DataError
from fromnoise.common.files import write_bytes
from fromnoise.common.stored_json import write_stored
from fromnoise.figures.grid import save
from fromnoise.report.html import write_page
from fromnoise.report.run_figures import one_step_predictions, run_figures
from fromnoise.report.run_report import FIGURES, RunContents, run_page
from fromnoise.report.trajectory import trajectory_figures
from fromnoise.run.card import sound_json, write_run_card
from fromnoise.run.facts import facts

if TYPE_CHECKING:
    from fromnoise.model.trained_model import TrainedModel
    from fromnoise.run.opened import OpenedRun

SHOWN = "show.json"  # in figures/: what is to be said beside the figures


def show(run: OpenedRun) -> Path:
    """Draw every figure into figures/ and write report.html; returns its path.

    Where the training images are gone, the figures that need them are left out.
    """
    train, missing = None, ""
    try:
        train = run.data
    except DataError as error:
        missing = str(error)
    drawn = run_figures(run.model(), train, run.folder.read_metrics())
    for name in FIGURES:
        if name in drawn.figures:
            save(drawn.figures[name], _figure(run, name))
        else:
            _figure(run, name).unlink(missing_ok=True)  # drawn earlier, when the data was there
    about = {"missing": missing, "nfe": drawn.samples.evaluations}
    write_stored(run.folder.figures / SHOWN, about)
    return write_report(run)


def write_report(run: OpenedRun) -> Path:
    """Write report.html and the card from what is in the run folder; returns the path of the report."""
    write_run_card(run)
    return write_page(run.folder.report, report_page(run))


def report_page(run: OpenedRun) -> str:
    """The report as HTML, from what is in the run folder."""
    folder, rows = run.folder, facts(run)
    shown = sound_json(folder, folder.figures / SHOWN) or {}
    if shown.get("nfe"):
        rows.append(("NFE", f"{shown['nfe']} network evaluations per image"))
    contents = RunContents(
        path=run.path,
        metadata=run.metadata,
        facts=rows,
        figures={path.stem: path.read_bytes() for path in folder.figures.glob("*.png")},
        missing=shown.get("missing", ""),
        evaluation=sound_json(folder, folder.evaluation),
        sweep=sound_json(folder, folder.sweep),
        diagnosis=sound_json(folder, folder.diagnosis),
    )
    return run_page(contents)


def add_predictions(run: OpenedRun, model: TrainedModel) -> None:
    """Draw figures/predictions.png with `model` where `show` has not drawn it yet."""
    if not _figure(run, "predictions").is_file():
        save(one_step_predictions(model, run.data), _figure(run, "predictions"))


def write_trajectory(run: OpenedRun, model: TrainedModel, seeds: Sequence[int], label: str | int | None) -> list[Path]:
    """Write figures/trajectory-strip.png, trajectory.gif and trajectory-steps.png for `seeds`; returns their paths.

    The report has a trajectory.png of its own, of the run's sampling.
    """
    drawn = trajectory_figures(model, seeds, label)
    return [
        save(drawn.strip, _figure(run, "trajectory-strip")),
        write_bytes(run.folder.figures / "trajectory.gif", drawn.animation),
        save(drawn.steps, _figure(run, "trajectory-steps")),
    ]


def _figure(run: OpenedRun, name: str) -> Path:
    return run.folder.figures / f"{name}.png"
