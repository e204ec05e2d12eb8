"""An entry of the board: one JSON file, whose name without .json is the entry's id.

kind         "result"; or "doubt", a reason not to trust an entry, with runs of its own or without
about        the id of the entry that a doubt or a rerun is about, else null
evidence     ids of other entries that a doubt points to, and the score they are compared by
date         when it was entered, as 2026-12-31; null for what was measured before there was a board
code         address and commit of what was run; command, and sample_command where sampling is another process
data         source, settings of its reading
budget       seconds that a training has, from the start of its process
clock        "measured" by the board's own commands, or "reported" by whoever made the samples
machine      as `common.machine` has it, with matmul_gflops before and after the runs; hardware: its class
measure      protocol of the evaluation by number of samples, test: scores of as many test images
runs         one a seed: seed, images_seen, import_seconds, train_seconds (with the import), sample_seconds, sampled,
             evaluations, samples (SHA-256 of the .npz), scores by number of samples; null for what is not known
claim, notes words
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import DataError, UsageError, choose
from fromnoise.common.files import write_json
from fromnoise.common.stored_json import parse_object
from fromnoise.evaluation.scores import is_number

SCHEMA = 1
Kinds = dict[str, Any]  # types by the names of parts
KINDS, CLOCKS = ("result", "doubt"), ("measured", "reported")
SCORES = ("frechet_distance", "ratio_to_test", "frechet_pixels", "precision", "recall", "class_accuracy", "copy_rate",
          "test_copy_rate", "duplicate_rate")  # fmt: skip
SHARES = SCORES[3:]  # between 0 and 1; the others are distances
CONVERTED = "converted from docs/results/"  # how a note of an entry without a date begins
# What the verbs and the page read; float stands for any number that is finite and not below 0.
_WORDS: Kinds = {"name": str, "kind": str, "claim": str, "notes": list, "evidence": list, "runs": list}
_WORDS |= dict.fromkeys(("about", "date", "answer"), str | None)
_OF_RESULTS: Kinds = {"code": dict, "data": dict, "budget": float, "clock": str, "machine": dict, "hardware": str}
_OF_RESULTS |= {"measure": dict, "test": dict, **dict.fromkeys(("command", "sample_command"), str | None)}
_OF_DATA: Kinds = {"source": str, "settings": dict}
_OF_MACHINES: Kinds = {"processor": str, "cores": int, "threads": int, "torch": str, "device": str}
_OF_MACHINES |= {"automatic_precision": str, "matmul_gflops": list | None}
_OF_MEASURES: Kinds = {"version": int, "reference": dict, "features": dict}
_OF_REFERENCES: Kinds = dict.fromkeys(("name", "fingerprint"), str)
_OF_FEATURES: Kinds = dict.fromkeys(("name", "recipe_hash", "weight_hash"), str)
_OF_RUNS: Kinds = {"seed": int, "train_seconds": float, "sampled": int, "samples": str | None, "scores": dict}
_OF_RUNS |= dict.fromkeys(("images_seen", "evaluations", "sample_seconds"), float | None)
_ABOVE_ZERO = ("budget", "train_seconds", "sampled")
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx2")  # the best first


@dataclass(frozen=True)
class Entry:
    """The content of a file of the board, and its id."""

    id: str
    content: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.content[name]

    @property
    def runs(self) -> Sequence[Mapping[str, Any]]:
        """One a seed."""
        return self.content["runs"]

    @property
    def measured(self) -> bool:
        """Whether there are runs, which a doubt may have as well."""
        return bool(self.runs)

    @property
    def counts(self) -> list[str]:
        """The numbers of samples that every run was scored at, fewest first."""
        sets = [run["scores"].keys() for run in self.runs]
        return sorted(set.intersection(*map(set, sets)) if sets else (), key=int)

    def values(self, count: str, score: str = "frechet_distance") -> list[float]:
        """The score of each run at `count` samples, without those that have none."""
        found = [run["scores"].get(count, {}).get(score) for run in self.runs]
        return [value for value in found if value is not None]

    def mean(self, count: str, score: str = "frechet_distance") -> float:
        """Over the runs."""
        return statistics.mean(self.values(count, score))


def hardware_class(machine: Mapping[str, Any]) -> str:
    """What seconds are compared within: the GPU's name, else the number of cores and their widest instructions."""
    if machine["device"] != "cpu":
        return str(machine["device"])
    known = machine["processor"].split(", ")
    best = next((name for name in _INSTRUCTIONS if name in known), "other instructions")
    return f"{machine['cores']} core{'' if machine['cores'] == 1 else 's'}, {best}"


def id_of(data: str, budget: float, hardware: str, name: str) -> str:
    """The file name of an entry without .json: letters, digits, dots, dashes and underscores."""
    words = f"{Path(data).stem} {budget:g}s {hardware} {name}".lower()
    return re.sub(r"[^a-z0-9._]+", "-", words).strip("-.")


def kept_scores(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry keeps of all scores."""
    return {name: metrics[name] for name in SCORES if name in metrics}


def read(path: Path) -> Entry:
    """The entry in a file; DataError where it is missing or not one."""
    try:
        content = parse_object(path.read_bytes())
        _check(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not an entry of the board ({error}); make one with `enter`") from error
    return Entry(path.stem, content)


def read_all(folder: Path) -> dict[str, Entry]:
    """Every entry in `folder` by its id; DataError for one that is about an entry that is not there."""
    found = {path.stem: read(path) for path in sorted(folder.glob("*.json"))}
    for entry in found.values():
        for other in filter(None, (entry["about"], *entry["evidence"])):
            if other not in found:
                raise DataError(f"{entry.id} points to the entry {other}, which is not in {folder}; correct its name")
    return found


def named(folder: Path, name: str) -> Entry:
    """The entry of that id, or in that file; UsageError that offers the nearest where there is none."""
    if Path(name).suffix == ".json":
        return read(Path(name))
    return choose("entry", name, read_all(folder))


def place_of(folder: Path, name: str, *, replace: bool = False) -> Path:
    """The file of an entry of that id; UsageError where one is there and is not to be replaced."""
    path = folder / f"{name}.json"
    if path.exists() and not replace:
        raise UsageError(f"the board has an entry {name} already; choose another --name")
    return path


def write(folder: Path, entry: Entry, *, replace: bool = False) -> Path:
    """Write the entry into `folder`; UsageError where one of that id is there and is not to be replaced."""
    path = place_of(folder, entry.id, replace=replace)
    try:
        _check(json.loads(json.dumps(entry.content)))
    except ValueError as error:
        raise DataError(
            f"{entry.id} cannot be an entry of the board ({error}); correct what it was made from"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    return write_json(path, entry.content)


def _check(content: Mapping[str, Any]) -> None:
    """ValueError where a part that is read is missing, or is of another kind or size."""
    if content.get("schema") != SCHEMA:
        raise ValueError(f"schema {content.get('schema')} is not {SCHEMA}")
    _kinds(content, _WORDS)
    for name in ("notes", "evidence"):
        for one in content[name]:
            _is(one, str, f"an item of {name}")
    # Dates are compared as text, so each has to be written in the one way.
    if content["date"] is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"], re.ASCII):
        raise ValueError(f"date is {content['date']!r} and not as 2026-12-31")
    if content.get("score") not in (None, *SCORES):
        raise ValueError(f"score is {content['score']!r}")
    if content["kind"] not in KINDS:
        raise ValueError(f"kind is {content['kind']!r}")
    if content["kind"] == "doubt" and not (content["about"] and content["claim"]):
        raise ValueError("kind is 'doubt', which needs an entry that it is about, and a claim")
    if content["kind"] == "result" or content["runs"]:
        _check_result(content)


def _check_result(content: Mapping[str, Any]) -> None:
    _kinds(content, _OF_RESULTS)
    _kinds(content["data"], _OF_DATA, "data: ")
    _check_machine(content["machine"])
    if content["clock"] not in CLOCKS:
        raise ValueError(f"clock is {content['clock']!r}")
    for count, measure in content["measure"].items():
        where = f"measure of {count} samples"
        _is(measure, dict, where)
        _kinds(measure, _OF_MEASURES, f"{where}: ")
        _kinds(measure["reference"], _OF_REFERENCES, f"{where}: reference ")
        _kinds(measure["features"], _OF_FEATURES, f"{where}: features ")
    for count, row in content["test"].items():
        if row is not None:
            _check_scores(row, f"test images at {count} samples")
    if not content["runs"]:
        raise ValueError("a result without runs")
    for number, run in enumerate(content["runs"]):
        _check_run(run, f"run {number}", content["measure"])
    if not set.intersection(*(set(run["scores"]) for run in content["runs"])):
        raise ValueError("there is no number of samples that every run has scores at")


def _check_machine(machine: Mapping[str, Any]) -> None:
    """A machine that nothing is known of is empty."""
    if "processor" in machine or "matmul_gflops" in machine:
        _kinds(machine, _OF_MACHINES, "machine: ")
        for speed in machine["matmul_gflops"] or ():
            _is(speed, float, "one of matmul_gflops")


def _check_run(run: Any, where: str, measures: Mapping[str, Any]) -> None:
    _is(run, dict, where)
    _kinds(run, _OF_RUNS, f"{where}: ")
    for count, scores in run["scores"].items():
        if count not in measures or not count.isdecimal() or str(int(count)) != count:
            raise ValueError(f"{where}: there is no measure for the scores at {count} samples")
        _check_scores(scores, f"{where}: scores at {count} samples")


def _check_scores(scores: Any, where: str) -> None:
    _is(scores, dict, where)
    _kinds(scores, {**dict.fromkeys(scores, float | None), "frechet_distance": float}, f"{where}: ")
    for name in SHARES:
        if (scores.get(name) or 0.0) > 1:
            raise ValueError(f"{where}: {name} is {scores[name]!r} and above 1")


def _kinds(content: Mapping[str, Any], kinds: Kinds, where: str = "") -> None:
    for name, kind in kinds.items():
        if name not in content:
            raise ValueError(f"{where}{name} is missing")
        _is(content[name], kind, f"{where}{name}")
        if name in _ABOVE_ZERO and not content[name]:
            raise ValueError(f"{where}{name} is {content[name]!r}, not above 0")


def _is(value: Any, kind: Any, where: str) -> None:
    """ValueError where a value is of another kind, or a number that no measurement gives."""
    known = isinstance(value, kind) or (isinstance(0.0, kind) and is_number(value))
    if not known or (isinstance(value, int | float) and not 0 <= value < math.inf):
        raise ValueError(f"{where} is {value!r}")
