"""The parts of a report about an evaluation and a sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.summary import conditions_table, evaluation_table, extended_table, protocol_table, verdict
from fromnoise.evaluation.sweep import Sweep, sweep_table
from fromnoise.report.html import Section


def stored_sections(
    evaluation: Mapping[str, Any] | None, sweep: Mapping[str, Any] | None, figures: Mapping[str, bytes]
) -> list[Section]:
    """The sections of evaluation.json and sweep.json, where these are there; a damaged file is left out.

    figures: PNG files by name, of which "closest", "sweep" and "sweep-seconds" are shown.
    """
    sections: list[Section] = []
    if evaluation is not None:
        with contextlib.suppress(DataError):  # of an unknown schema, or damaged: evaluating again writes a new one
            sections += evaluation_sections(Evaluation.from_json(evaluation), figures.get("closest"))
    if sweep is not None:
        with contextlib.suppress(DataError):
            sections += sweep_sections(Sweep.from_json(sweep), figures.get("sweep"), figures.get("sweep-seconds"))
    return sections


def evaluation_sections(evaluation: Evaluation, closest: bytes | None) -> list[Section]:
    """The scores, the protocol, and the closest pairs where there is a figure of them."""
    text = "\n\n".join([verdict(evaluation), _HOW_TO_READ, *evaluation.notes])
    sections = [Section("How good", text=text, table=evaluation_table(evaluation))]
    if evaluation.conditions:
        sections.append(Section("Conditions", text=_CONDITIONS, table=conditions_table(evaluation.conditions)))
    if evaluation.extended:
        sections.append(Section("Extended measures", table=extended_table(evaluation.extended)))
    sections.append(Section("The protocol", text=_PROTOCOL, table=protocol_table(evaluation.protocol)))
    if closest is not None:
        sections.append(Section("Closest pairs", text=_CLOSEST, image=closest))
    return sections


_HOW_TO_READ = (
    "A Fréchet distance (FD) has no unit: read it beside the other columns, the reference rows, which are real images "
    "measured as if they were samples. `test` is the score of a perfect model, `noise` the noise baseline. It is not "
    "FID: the features are those named in the protocol. Values for another number of samples, another reference or "
    "other features cannot be compared with these."
)
_CONDITIONS = (
    "Whether samples have the numbers that they were conditioned on: 1 where what is measured grows with what was "
    "asked for, 0 where it does not care. Measured by a regression on training images, which errs too: `test` is the "
    "same of test images with their own numbers, and what a perfect model reaches."
)
_PROTOCOL = "All that decides the numbers. `fromnoise compare` refuses runs whose `measure` part differs."
_CLOSEST = (
    "The 16 samples closest to a training image, each above that image. Similar images are expected; identical ones "
    "are copies. The numbers above each row are distances in grey levels (root mean square)."
)


def sweep_sections(sweep: Sweep, by_evaluations: bytes | None, by_seconds: bytes | None) -> list[Section]:
    """The table of a sweep and its figures."""
    text = f"Sampling settings, each measured on the same {sweep.count:,} seeds"
    if sweep.floor is None:
        text += "."
    elif sweep.floor_count == sweep.count:
        text += ", beside as many test images."
    else:
        text += (
            f". There are only {sweep.floor_count:,} test images: of fewer images a Fréchet distance is larger, so "
            "theirs does not bound these; KID and the class accuracy can be compared."
        )
    sections = [Section("Quality against cost", text=text, image=by_evaluations, table=sweep_table(sweep))]
    if by_seconds is not None:
        sections.append(Section("", image=by_seconds))
    return sections
