"""An entry of the board: one JSON file, whose name without .json is the entry's id.

kind         "result"; or "doubt", a reason not to trust an entry, with runs of its own or without
about        the id of the entry that a doubt or a rerun is about, else null
evidence     ids of other entries that a doubt points to, and the score they are compared by
date         when it was entered, null for what was measured before there was a board
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
KINDS, CLOCKS = ("result", "doubt"), ("measured", "reported")
SCORES = ("frechet_distance", "ratio_to_test", "frechet_pixels", "precision", "recall", "class_accuracy", "copy_rate",
          "test_copy_rate", "duplicate_rate")  # fmt: skip
_WORDS = {"name": str, "kind": str, "claim": str, "notes": list, "evidence": list, "runs": list}
_OF_RESULTS = {"code": dict, "data": dict, "budget": float, "clock": str, "machine": dict, "hardware": str}
_OF_RESULTS |= {"measure": dict, "test": dict}
_OF_RUNS = {"seed": int, "train_seconds": float, "sampled": int, "scores": dict}
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is not an entry of the board ({said}); make one with `enter`") from error
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


def write(folder: Path, entry: Entry, *, replace: bool = False) -> Path:
    """Write the entry into `folder`; UsageError where one of that id is there and is not to be replaced."""
    path = folder / f"{entry.id}.json"
    if path.exists() and not replace:
        raise UsageError(f"the board has an entry {entry.id} already; choose another --name")
    _check(json.loads(json.dumps(entry.content)))
    folder.mkdir(parents=True, exist_ok=True)
    return write_json(path, entry.content)


def _check(content: Mapping[str, Any]) -> None:
    """ValueError, KeyError or TypeError where a part is missing or of another kind."""
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
    _kinds(content, _WORDS)
    for name in ("about", "date", "answer"):
        if not isinstance(content[name], str | None):
            raise ValueError(f"{name} is {content[name]!r}")
    if content["kind"] not in KINDS:
        raise ValueError(f"kind is {content['kind']!r}")
    if content["kind"] == "doubt" and not (content["about"] and content["claim"]):
        raise ValueError("a doubt needs an entry that it is about, and a claim")
    if content["kind"] == "result" or content["runs"]:
        _check_result(content)


def _check_result(content: Mapping[str, Any]) -> None:
    _kinds(content, _OF_RESULTS)
    if content["clock"] not in CLOCKS:
        raise ValueError(f"clock is {content['clock']!r}")
    if not content["runs"]:
        raise ValueError("a result without runs")
    for run in content["runs"]:
        _kinds(run, _OF_RUNS)
        for count, scores in run["scores"].items():
            if not is_number(scores["frechet_distance"]) or count not in content["measure"]:
                raise ValueError(f"the scores of seed {run['seed']} at {count} samples")


def _kinds(content: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for name, kind in kinds.items():
        value = content[name]
        if not isinstance(value, kind) and not (kind is float and is_number(value)):
            raise ValueError(f"{name} is {value!r}")
