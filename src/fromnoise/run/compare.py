"""Compare run folders: what each is and how good, gathered, laid side by side and written as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.report.compare_runs import ComparedRun, RunComparison, compare_runs
from fromnoise.report.html import write_page
from fromnoise.run.facts import facts
from fromnoise.run.opened import OpenedRun


def compare(runs: Sequence[OpenedRun], out: Path, with_metrics: bool = True) -> RunComparison:
    """Compare `runs` and write the page `out`.

    with_metrics: also compare what `fromnoise evaluate` measured. Raises UsageError for fewer than two runs and for
    evaluations made under different protocols, CheckpointError for a run that was never trained, DataError for a
    damaged evaluation.
    """
    names = _names(runs)
    found = compare_runs([_gathered(run, name, with_metrics) for run, name in zip(runs, names)], with_metrics)
    write_page(out, found.page)
    return found


def _names(runs: Sequence[OpenedRun]) -> list[str]:
    """The folders' names, or their paths where two folders have one name."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]


def _gathered(run: OpenedRun, name: str, with_metrics: bool) -> ComparedRun:
    content = run.folder.read_json(run.folder.evaluation) if with_metrics else None
    evaluation = None if content is None else Evaluation.from_json(content, str(run.folder.evaluation))
    return ComparedRun(name, dict(facts(run)), run.model(), run.folder.read_metrics(), evaluation)
