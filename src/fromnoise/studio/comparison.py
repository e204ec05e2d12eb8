"""Runs side by side: the settings in which they differ, and what was measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fromnoise.common.errors import FromNoiseError, UsageError
from fromnoise.common.options import from_dict
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.protocol import comparable, flat
from fromnoise.evaluation.summary import MEASURES, format_measure
from fromnoise.run.folder import RunFolder
from fromnoise.settings import Settings

LEAST, MOST = 2, 6


def comparison(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """{settings, measures, notes}: tables whose rows are a name and a text for each run; measures may be empty."""
    records = [folder.read_record() for folder in folders]
    evaluations, notes = [], []
    for folder in folders:
        try:
            content = folder.read_json(folder.evaluation)
            evaluations.append(None if content is None else Evaluation.from_json(content, folder.evaluation.name))
        except FromNoiseError as error:
            evaluations.append(None)
            notes.append(f"{folder.path.name}: {error}")
    notes += _protocol_notes(folders, evaluations)
    return {
        "settings": _differences([_settings(record) for record in records]),
        "measures": _measures(evaluations),
        "notes": notes,
    }


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    """Every setting by its dotted name, as text, those of later versions too; the images by what they are."""
    found = {"data": f"{record['data']['name']} ({record['data']['count']:,})"}
    for name, value in flat(asdict(from_dict(Settings(), record["settings"]))).items():
        if name != "data.source":
            found[name] = "–" if value is None else str(value)
    return found


def _differences(settings: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """The rows in which not all values are one."""
    names = dict.fromkeys(name for one in settings for name in one)
    rows = [[name, *(one.get(name, "–") for one in settings)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _measures(evaluations: Sequence[Evaluation | None]) -> list[list[str]]:
    """A row a measure; empty before anything was evaluated."""
    if not any(evaluations):
        return []
    rows = [
        [title.strip(), *("–" if one is None else format_measure(key, one.metrics) for one in evaluations)]
        for key, title in MEASURES.items()
    ]
    return [row for row in rows if any(cell not in ("-", "–") for cell in row[1:])]


def _protocol_notes(folders: Sequence[RunFolder], evaluations: Sequence[Evaluation | None]) -> list[str]:
    """What keeps the measures from being compared, or has to be known beside them."""
    known = [
        (folder.path.name, one.protocol["measure"]) for folder, one in zip(folders, evaluations) if one is not None
    ]
    notes: list[str] = []
    for name, protocol in known[1:]:
        try:
            notes += comparable(known[0][1], protocol)
        except UsageError as error:
            notes.append(f"{known[0][0]}, {name}: {error}")
    return list(dict.fromkeys(notes))
