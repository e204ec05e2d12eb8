"""Pictures that somebody else made, or that lie in a file, measured as a run's samples are."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from fromnoise.common.files import write_bytes
from fromnoise.data import DataOptions, load, unseen
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluate import FEWEST, How, prepared, say
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.measure import Pictures, at_least, measured
from fromnoise.evaluation.report import sections_of
from fromnoise.evaluation.scores import checked_pictures
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import save
from fromnoise.report.html import page, write_page


def evaluate_pictures(
    samples: str, reference: str, how: How | None = None, *, output_dir: str | Path | None = None
) -> tuple[Evaluation, Path | None]:
    """(the Evaluation of the pictures in `samples` against the data `reference`, the report's path or None).

    samples: an .npz, folder or .zip; labels count where it has classes that the reference has too. output_dir: where
    evaluation.json, closest.png and report.html go. Raises DataError where the two do not have one shape.
    """
    how = how or How()
    train = load(DataOptions(source=reference))
    pictures = load(DataOptions(source=samples, holdout=0.0))
    at_least(len(pictures), "pictures", FEWEST, "give more of them")
    checked_pictures(pictures.images, train)
    labels, notes = _labels(pictures, train)
    test = unseen(DataOptions(source=reference), train)
    made = Pictures(pictures.images, labels, {"file": Path(samples).name, "fingerprint": pictures.fingerprint[:16]})
    real_reference, real, foreign = prepared(train, test, len(pictures), how)
    say(f"measuring {len(pictures):,} pictures ...")
    evaluation, closest = measured(made, real_reference, real, test, foreign, notes)
    if output_dir is None:
        return evaluation, None
    folder = Path(output_dir)
    write_bytes(folder / "evaluation.json", json.dumps(evaluation.to_json(), indent=1).encode())
    save(closest, folder / "closest.png")
    lead = f"{len(pictures):,} pictures from {pictures.name}, measured against {train.name}."
    sections = sections_of(evaluation, png_bytes(closest))
    return evaluation, write_page(folder / "report.html", page(pictures.name, lead, sections))


def _labels(pictures: ArrayData, train: ArrayData) -> tuple[Tensor | None, list[str]]:
    """The pictures' labels in the reference's numbering, None (and why) where they are of other classes."""
    if pictures.labels is None or not train.spec.classes:
        return None, []
    known = train.spec.classes
    numbers = {str(number): number for number in range(len(known))}  # an .npz may hold bare numbers
    table = {name: place for place, name in enumerate(known)}
    if not set(pictures.spec.classes) <= set(table):
        table = numbers
    if strangers := [name for name in pictures.spec.classes if name not in table]:
        named = ", ".join(strangers[:5])
        return None, [f"the pictures' classes ({named}) are none of {train.name}'s, so their labels are not used"]
    return torch.tensor([table[name] for name in pictures.spec.classes])[pictures.labels], []
