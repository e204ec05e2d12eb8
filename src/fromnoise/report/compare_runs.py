"""Runs side by side: what each is, how its loss fell, what it makes of the same seeds, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fromnoise.common.errors import UsageError
from fromnoise.evaluation.evaluation import MEASURES, Evaluation, said
from fromnoise.evaluation.protocol import comparable
from fromnoise.figures.curves import lines
from fromnoise.figures.image_rows import rows
from fromnoise.figures.smoothing import running_mean
from fromnoise.report.html import Section, page, write_page
from fromnoise.report.run_report import facts

if TYPE_CHECKING:
    from fromnoise.run import Run

SEEDS = 8  # pictures of each run, from the same noise
POINTS = 40  # of each loss curve, closer together at the start, where it falls
_NOT_A_FACT = ("samples below",)


@dataclass(frozen=True)
class SideBySide:
    """facts and measures: tables whose first row names the runs; measures is empty before anything was evaluated."""

    facts: list[list[str]]
    measures: list[list[str]]
    evaluations: tuple[Evaluation | None, ...]
    notes: tuple[str, ...]
    report: Path

    def to_json(self) -> dict[str, Any]:
        """The runs in order, each with its name, facts and evaluation (None where there is none)."""
        runs = [
            {
                "name": name,
                "facts": {row[0]: row[place] for row in self.facts[1:]},
                "evaluation": evaluation.to_json() if evaluation else None,
            }
            for place, (name, evaluation) in enumerate(zip(self.facts[0][1:], self.evaluations, strict=True), start=1)
        ]
        return {"runs": runs, "notes": list(self.notes), "report": str(self.report)}


def compare(runs: Sequence[Run], out: Path, with_measures: bool = True) -> SideBySide:
    """Compare `runs` and write the page `out`.

    Raises UsageError for fewer than two runs, and for evaluations made under different protocols (with_measures
    False leaves these out), CheckpointError for a run that was never trained.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run was given, but at least 2 are compared; name more folders")
    names = _names(runs)
    evaluations = [_evaluation(run) if with_measures else None for run in runs]
    notes = _notes(names, evaluations, with_measures)
    table = _facts_table(names, runs)
    measures = _measures_table(names, evaluations)
    sections = [Section("What was trained", table=table)]
    if len(measures) > 1:
        sections.append(Section("How good", text="\n\n".join(notes), table=measures))
    elif notes:
        sections.append(Section("How good", text="\n\n".join(notes)))
    sections += _pictures(names, runs)
    if curves := _curves(names, runs):
        sections.append(Section("Loss", text=_LOSS, image=curves))
    written = write_page(out, page("Runs side by side", ", ".join(f"`{name}`" for name in names), sections))
    return SideBySide(table, measures, tuple(evaluations), tuple(notes), written)


_LOSS = (
    "The running mean of each training loss. Losses of unlike predictions, weightings or processes are in unlike "
    "units: compare their courses, not their heights."
)


def _names(runs: Sequence[Run]) -> list[str]:
    """The folders' names, or their paths where two folders have one name."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def _evaluation(run: Run) -> Evaluation | None:
    content = run.folder.read_json(run.folder.evaluation)
    return None if content is None else Evaluation.from_json(content, str(run.folder.evaluation))


def _notes(names: Sequence[str], evaluations: Sequence[Evaluation | None], wanted: bool) -> list[str]:
    """What to know of the figures; UsageError where two of them are in different units."""
    there = [(name, found) for name, found in zip(names, evaluations, strict=True) if found is not None]
    notes: list[str] = []
    for name, found in there[1:]:
        try:
            notes += comparable(there[0][1].protocol["measure"], found.protocol["measure"])
        except UsageError as error:
            raise UsageError(f"{there[0][0]} and {name}: {error} (or compare without: --no_metrics)") from error
    missing = [name for name, found in zip(names, evaluations, strict=True) if found is None]
    if wanted and missing:
        notes.append(f"not evaluated yet: {', '.join(missing)} (`fromnoise evaluate RUN` does it)")
    return list(dict.fromkeys(notes))


def _facts_table(names: Sequence[str], runs: Sequence[Run]) -> list[list[str]]:
    columns = [dict(facts(run)[1:]) for run in runs]
    known = dict.fromkeys(key for column in columns for key in column if key not in _NOT_A_FACT)
    rows_ = [[key, *(column.get(key, "-") for column in columns)] for key in known]
    samplers = [f"{o.sampler}, {o.steps} steps" for o in (run.settings.sample for run in runs)]
    return [["", *names], *rows_, ["sampled with", *samplers]]


def _measures_table(names: Sequence[str], evaluations: Sequence[Evaluation | None]) -> list[list[str]]:
    there = [found for found in evaluations if found is not None]
    if not there:
        return []
    test = there[0].reference_rows["test"]
    columns = [found.metrics if found else None for found in evaluations] + ([test] if test else [])
    heading = ["", *names, *(["test images"] if test else [])]
    body = [[about, *(said(key, scores) if scores else "-" for scores in columns)] for key, about in MEASURES.items()]
    ratios = [
        "-" if found is None or found.ratio_to_test is None else f"{found.ratio_to_test:.3g}" for found in evaluations
    ]
    body.append(["Frechet distance over test row's", *ratios, *(["1"] if test else [])])
    cost = ["-" if found is None else str(found.protocol["sampling"]["evaluations"]) for found in evaluations]
    body.append(["network evaluations a picture", *cost, *(["-"] if test else [])])
    return [heading, *body]


def _pictures(names: Sequence[str], runs: Sequence[Run]) -> list[Section]:
    """Pictures of every run from the same seeds: one figure where they have one shape, else one a run."""
    made = [run.sample(seeds=range(SEEDS)).images for run in runs]
    text = f"Seeds 0 to {SEEDS - 1} of each run, none chosen; runs of one shape and noise start from the same noise."
    if len({pictures.shape for pictures in made}) == 1:
        return [Section("Samples", text=text, image=rows(list(zip(names, made, strict=True)), beside=True))]
    return [
        Section("Samples" if i == 0 else "", text=text if i == 0 else "", image=rows([(name, pictures)], beside=True))
        for i, (name, pictures) in enumerate(zip(names, made, strict=True))
    ]


def _curves(names: Sequence[str], runs: Sequence[Run]) -> Any:
    """The running means of the training losses over images seen, None where no run has any."""
    series: dict[str, tuple[Any, ...]] = {}
    for name, run in zip(names, runs, strict=True):
        read = [(line["images"], line["loss"]) for line in run.folder.read_metrics() if "step" in line]
        if len(read) > 1:
            seen, losses = (np.array(column, dtype=np.float64) for column in zip(*read, strict=True))
            some = np.unique(np.geomspace(1, len(seen), POINTS).round().astype(int)) - 1
            series[name] = (seen[some], running_mean(losses)[some])
    return lines(series, "images seen", "loss", "Training loss", log_x=True) if series else None
