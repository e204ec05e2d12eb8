"""Rows of docs/results/time-to-quality-*.json as entries: what was measured before there was a board."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from board.entry import CONVERTED, SCHEMA, Entry, hardware_class, id_of, kept_scores
from contenders import OURS, PEERS

from fromnoise.common.errors import UsageError

_RUN = ("seed", "images_seen", "train_seconds", "sample_seconds", "evaluations", "parameters", "sampled")


def entries_of(path: Path) -> list[Entry]:
    """One a contender and budget; what the rows do not hold is null."""
    found = json.loads(path.read_text(encoding="utf-8"))
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["contender"], row["budget"]), []).append(row)
    return [_entry(found, name, budget, rows, path.name) for (name, budget), rows in groups.items()]


def _entry(found: Mapping[str, Any], name: str, budget: float, rows: Sequence[Mapping[str, Any]], file: str) -> Entry:
    hardware = hardware_class(found["machine"])
    counts = sorted({count for row in rows for count in row["scores"]}, key=int)
    told = {**found, **rows[0]}  # rows of an earlier training of the classifier have their own
    if any({**found, **row}["measure"] != told["measure"] for row in rows):
        raise UsageError(f"{file} has rows of {name} by two trainings of the classifier; train all of its seeds anew")
    shown = name.replace("ours", "fromnoise")
    return Entry(
        id_of(found["data"], budget, hardware, shown),
        {
            "schema": SCHEMA,
            "name": shown,
            "kind": "result",
            "about": None,
            "evidence": [],
            "answer": None,
            "date": None,
            "code": {"address": _address(name), "commit": None},
            "command": f"python benchmarks/time_to_quality.py --data {found['data']} --contenders {name} "
            f"--budgets {budget:g}s --seeds {','.join(str(row['seed']) for row in rows)}",
            "sample_command": None,
            "data": {"source": found["data"], "settings": {}},
            "budget": budget,
            "clock": "measured",
            "machine": {**found["machine"], "matmul_gflops": None},
            "hardware": hardware,
            "measure": {count: told["measure"][count] for count in counts},
            "test": {count: kept_scores(told["test"][count]) for count in counts},
            "runs": [_run(row) for row in rows],
            "claim": "",
            "notes": [f"{CONVERTED}{file}, measured by benchmarks/time_to_quality.py on the machine "
                      "there; the samples were not kept", *_settings(rows)],
        },
    )  # fmt: skip


def _address(name: str) -> str:
    return f"benchmarks/peers/{PEERS[name].script}.py" if name in PEERS else f"recipe {OURS[name]} of fromnoise"


def _settings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the rows say of versions and settings, each once."""
    said = [f"{', '.join(map(' '.join, row['versions'].items()))}: {row['settings']}" for row in rows]
    return list(dict.fromkeys(said))


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = {count: kept_scores(one) for count, one in row["scores"].items()}
    return {**{name: row[name] for name in _RUN}, "import_seconds": None, "samples": None, "scores": scores}
