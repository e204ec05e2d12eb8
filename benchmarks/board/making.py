"""Entries from commands under the clock, or from samples that were made elsewhere."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from board.clock import trained_and_sampled
from board.entry import SCHEMA, Entry, hardware_class, id_of
from board.scorer import Scored, Scorer
from common import machine
from stepping import matmul, timed

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.common.files import reason_of
from fromnoise.train.hardware import choose_precision

_SECONDS = 1.0  # of matrix products, before the runs and after them
MARK = ".made_by_leaderboard"  # in the folder of a seed: by it a later attempt knows what it may remove


@dataclass(frozen=True)
class Task:
    """What every seed is given."""

    command: str
    sample_command: str | None
    budget: float
    num: int
    folder: Path


def device() -> str:
    """ "cuda" where there is one, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def hardware_here() -> str:
    """The class of this machine."""
    return hardware_class(machine(device()))


def yardstick() -> float:
    """GFLOP/s of large matrix products in the type that `auto` trains in here."""
    where = device()
    kind = torch.bfloat16 if choose_precision(where).dtype_name == "bfloat16" else torch.float32
    step, operations = matmul(kind, where)
    found = timed(step, _SECONDS, where)
    return round(operations * found["steps"] / found["seconds"] / 1e9, 1)


def run_seeds(task: Task, seeds: Sequence[int], scorer: Scorer) -> dict[str, Any]:
    """Train and sample once a seed; then the parts of an entry that follow: runs, measure, test, machine, hardware.

    UsageError, before anything is trained, where the folder of a seed holds what was not made here.
    """
    places_of = {seed: task.folder / f"seed-{seed}" for seed in seeds}
    for folder in places_of.values():
        _check_ours(folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    train = scorer.export(task.folder / "train.npz") if "{train}" in task.command else ""
    before = yardstick()
    runs: list[dict[str, Any]] = []
    files: list[Path] = []
    for seed in seeds:
        print(f"seed {seed}: {task.budget:g} s of training ...", file=sys.stderr, flush=True)
        folder = _emptied(places_of[seed])
        files.append(folder / "samples.npz")
        places: dict[str, Any] = {"seconds": f"{task.budget:g}", "seed": seed, "num": task.num, "samples": files[-1]}
        places |= {"train": train, "folder": folder}
        runs.append(trained_and_sampled(task.command, task.sample_command, places, task.budget))
    about = {**machine(device()), "matmul_gflops": [before, yardstick()]}
    return {**scored_runs(runs, files, scorer), "machine": about, "hardware": hardware_class(about)}


def _check_ours(folder: Path) -> None:
    """UsageError for the folder of a seed that is there, holds something, and was not made here."""
    try:
        vacant = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError:
        vacant = False
    if not vacant and not (folder / MARK).is_file():
        raise UsageError(f"{folder} holds what the leaderboard did not make and will not remove; choose another --work")


def _emptied(folder: Path) -> Path:
    """The folder, made anew: a training that went on from an earlier attempt would have had more than its budget."""
    _check_ours(folder)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / MARK).touch()
    except OSError as error:
        raise WriteError(
            f"{folder} cannot be emptied for a new training ({reason_of(error)}); remove it, or give another --work"
        ) from error
    return folder


def scored_runs(runs: Sequence[Mapping[str, Any]], files: Sequence[Path], scorer: Scorer) -> dict[str, Any]:
    """runs with their scores, the protocol and the test row; DataError where files differ in number or are alike."""
    found = []
    for path in files:
        print(f"scoring {path} ...", file=sys.stderr, flush=True)
        found.append(scorer.score(path))
    alike(found, files)
    first = found[0]
    whole = [
        {**run, "sampled": one.count, "samples": one.sha256, "scores": {str(one.count): one.scores}}
        for run, one in zip(runs, found, strict=True)
    ]
    count = str(first.count)
    return {"runs": whole, "measure": {count: first.measure}, "test": {count: first.test}}


def alike(found: Sequence[Scored], files: Sequence[Path]) -> None:
    """DataError for files of unlike numbers of samples, and for two that hold the same ones in any order."""
    if len({one.count for one in found}) > 1:
        counts = ", ".join(f"{one.count:,}" for one in found)
        raise DataError(f"the seeds have unlike numbers of samples ({counts}); make as many for each")
    seen: dict[Any, Path] = {}
    for one, path in zip(found, files, strict=True):
        for key in (one.images, f"{one.scores['frechet_distance']:.9g}"):
            if key in seen:
                raise DataError(f"{path} and {seen[key]} hold the same samples; each seed needs samples of its own")
            seen[key] = path


def entry_of(name: str, data: Mapping[str, Any], budget: float, made: Mapping[str, Any], **more: Any) -> Entry:
    """An entry of today from what `run_seeds` found; more: its other parts, over those of a plain result."""
    plain: dict[str, Any] = {"kind": "result", "about": None, "evidence": [], "answer": None, "claim": "", "notes": []}
    plain |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "clock": "measured"}
    plain |= {"code": {"address": None, "commit": None}, "command": None, "sample_command": None}
    content = {"schema": SCHEMA, "name": name, **plain, "data": dict(data), "budget": budget, **made, **more}
    return Entry(id_of(data["source"], budget, made["hardware"], name), content)
