"""Runs side by side: what each is, its loss, its samples from the same seeds, and its evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fromnoise.common.errors import UsageError
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.protocol import comparable
from fromnoise.evaluation.summary import MEASURES, format_measure
from fromnoise.figures.curves import lines
from fromnoise.figures.image_rows import rows
from fromnoise.figures.smoothing import running_mean
from fromnoise.model.trained_model import TrainedModel
from fromnoise.report.html import Section, page
from fromnoise.report.training_curves import MetricsLines

SEEDS = 8  # samples of each run, from the same noise
POINTS = 40  # of each loss curve, closer together at the start, where it falls


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Arguments:
        name: unlike the others' names.
        facts: what -> value.
        model: what samples.
        metrics: the lines of metrics.jsonl.
        evaluation: None where it was not evaluated, or where that is not compared.
    """

    name: str
    facts: Mapping[str, str]
    model: TrainedModel
    metrics: MetricsLines
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class RunComparison:
    """facts and measures: tables whose first row names the runs; measures is empty before anything was evaluated."""

    facts: list[list[str]]
    measures: list[list[str]]
    evaluations: tuple[Evaluation | None, ...]
    notes: tuple[str, ...]
    page: str

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
        return {"runs": runs, "notes": list(self.notes)}


def compare_runs(runs: Sequence[ComparedRun], with_metrics: bool = True) -> RunComparison:
    """Compare `runs`.

    with_metrics: whether runs without an evaluation are noted. Raises UsageError for fewer than two runs, and for
    evaluations made under different protocols.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run was given, but at least 2 are compared; name more folders")
    notes = _notes(runs, with_metrics)
    facts, measures = _facts_table(runs), _measures_table(runs)
    sections = [Section("What was trained", table=facts)]
    if measures or notes:
        sections.append(Section("Evaluation", text="\n\n".join(notes), table=measures or None))
    sections += _samples(runs)
    if curves := _curves(runs):
        sections.append(Section("Loss", text=_LOSS, image=curves))
    html = page("Runs side by side", ", ".join(f"`{run.name}`" for run in runs), sections)
    return RunComparison(facts, measures, tuple(run.evaluation for run in runs), tuple(notes), html)


_LOSS = (
    "The running mean of each training loss. Losses of different predictions, weightings or processes have different "
    "units: compare how they fall, not how high they are."
)


def _notes(runs: Sequence[ComparedRun], with_metrics: bool) -> list[str]:
    """What to know about the numbers; UsageError where two of them have different units."""
    first, *others = [(run.name, run.evaluation.protocol) for run in runs if run.evaluation] or [("", {})]
    notes: list[str] = []
    for name, protocol in others:
        try:
            notes += comparable(first[1]["measure"], protocol["measure"])
        except UsageError as error:
            raise UsageError(f"{first[0]} and {name}: {error} (or compare without: --no_metrics)") from error
    missing = [run.name for run in runs if run.evaluation is None]
    if with_metrics and missing:
        notes.append(f"not evaluated yet: {', '.join(missing)} (run `fromnoise evaluate RUN`)")
    return list(dict.fromkeys(notes))


def _facts_table(runs: Sequence[ComparedRun]) -> list[list[str]]:
    known = dict.fromkeys(key for run in runs for key in run.facts)
    return [["", *(run.name for run in runs)], *([key, *(run.facts.get(key, "-") for run in runs)] for key in known)]


def _measures_table(runs: Sequence[ComparedRun]) -> list[list[str]]:
    evaluations = [run.evaluation for run in runs]
    known = [found for found in evaluations if found is not None]
    if not known:
        return []
    test = known[0].reference_rows["test"]
    columns = [found.metrics if found else None for found in evaluations] + ([test] if test else [])
    body = [
        [title, *(format_measure(key, scores) if scores else "-" for scores in columns)]
        for key, title in MEASURES.items()
    ]
    ratios = [
        "-" if found is None or found.ratio_to_test is None else f"{found.ratio_to_test:.3g}" for found in evaluations
    ]
    body.append(["FD / FD(test)", *ratios, *(["1"] if test else [])])
    cost = ["-" if found is None else str(found.protocol["sampling"]["evaluations"]) for found in evaluations]
    body.append(["NFE", *cost, *(["-"] if test else [])])
    return [["", *(run.name for run in runs), *(["test images"] if test else [])], *body]


def _samples(runs: Sequence[ComparedRun]) -> list[Section]:
    """Samples of every run from the same seeds: one figure where they have one shape, else one per run."""
    made = [(run.name, run.model.sample(SEEDS).images) for run in runs]
    text = f"Seeds 0 to {SEEDS - 1} of each run, not selected. "
    text += "Runs of one image shape and one prior start from the same noise."
    if len({images.shape for _, images in made}) == 1:
        return [Section("Samples", text=text, image=rows(made, beside=True))]
    first, *others = [rows([one], beside=True) for one in made]
    return [Section("Samples", text=text, image=first), *(Section("", image=image) for image in others)]


def _curves(runs: Sequence[ComparedRun]) -> Any:
    """The running means of the training losses over images seen, None where no run has any."""
    series: dict[str, tuple[Any, ...]] = {}
    for run in runs:
        read = [(line["images"], line["loss"]) for line in run.metrics if "step" in line]
        if len(read) > 1:
            seen, losses = (np.array(column, dtype=np.float64) for column in zip(*read, strict=True))
            some = np.unique(np.geomspace(1, len(seen), POINTS).round().astype(int)) - 1
            series[run.name] = (seen[some], running_mean(losses)[some])
    return lines(series, "images seen", "loss", "Training loss", log_x=True) if series else None
