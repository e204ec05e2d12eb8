"""Pictures measured beside real images, however they were made: scores, ratio, remarks, the closest pairs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.protocol import measure
from fromnoise.evaluation.reference_rows import RealRows
from fromnoise.evaluation.scores import Reference, Scores, checked_pictures, score
from fromnoise.figures.image_rows import rows
from fromnoise.metrics.frechet import Statistics, frechet_distance, frechet_interval, statistics
from fromnoise.metrics.memorization import Memorization

CLOSEST = 16
_Z95 = 1.96
_LOUD = 0.2  # a precision of noise above which precision says little
_POOR = 0.9  # an accuracy of the judge below which its features are doubtful


@dataclass(frozen=True)
class Pictures:
    """Pictures to measure: uint8 (N, C, H, W), their labels (N,) or None, and how they were made, for the protocol."""

    images: Tensor
    labels: Tensor | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Foreign:
    """Statistics that somebody else measured, and the file that they came from. space: of which features, or ""."""

    path: Path
    statistics: Statistics
    space: str

    def distance(self, embedded: Tensor) -> dict[str, Any]:
        """The Frechet distance of features (N, dim) to them, and which file that is, as plain JSON."""
        distance = frechet_distance(statistics(embedded), self.statistics)
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]
        known = {"file": self.path.name, "sha256": digest, "count": self.statistics.count, "space": self.space or None}
        return {**known, "frechet_distance": distance}


def measured(
    made: Pictures,
    reference: Reference,
    real: RealRows,
    test: ArrayData | None,
    foreign: Foreign | None = None,
    notes: Sequence[str] = (),
) -> tuple[Evaluation, Any]:
    """(the Evaluation of `made`, a figure of the 16 samples closest to training images above these)."""
    checked_pictures(made.images, reference.data)
    embedded = reference.features.of(made.images)
    scores, found = score(made.images, made.labels, embedded, reference, real.usual)
    ratio, interval = _ratio(embedded, scores, reference, real.rows["test"])
    evaluation = Evaluation(
        scores,
        real.rows,
        ratio,
        interval,
        {"measure": measure(scores.count, reference.data, test, reference.features), "sampling": made.about},
        statistics=foreign.distance(embedded) if foreign else None,
        notes=(*notes, *_remarks(scores, real, reference, test, ratio)),
    )
    return evaluation, closest(made.images, found, reference.data)


def _ratio(
    embedded: Tensor, scores: Scores, reference: Reference, row: Scores | None
) -> tuple[float | None, tuple[float, float] | None]:
    """The Frechet distance over the test row's, at that row's count, and its interval; None without such a row.

    Of more pictures than test images a random part is taken: files often come sorted by class.
    """
    if row is None or not row.frechet_distance:
        return None, None
    distance, interval = scores.frechet_distance, scores.frechet_interval
    if row.count < scores.count:
        chosen = torch.randperm(len(embedded), generator=generator(0, "as many as test images"))[: row.count]
        distance = frechet_distance(statistics(embedded[chosen]), reference.statistics)
        interval = frechet_interval(embedded[chosen], reference.statistics)
    ratio = distance / row.frechet_distance
    spread = math.hypot(_spread(distance, interval), _spread(row.frechet_distance, row.frechet_interval))
    return ratio, (ratio * math.exp(-_Z95 * spread), ratio * math.exp(_Z95 * spread))


def _spread(value: float, interval: tuple[float, float]) -> float:
    """The standard deviation of ln(value), from its 95 % interval; those of a ratio's two parts add up in squares."""
    relative = (interval[1] - interval[0]) / (2 * _Z95) / value if value else 0.0
    return math.sqrt(math.log1p(relative**2))


def _remarks(
    scores: Scores,
    real: RealRows,
    reference: Reference,
    test: ArrayData | None,
    ratio: float | None,
) -> Iterator[str]:
    """Sentences that a reader of the figures must know."""
    row, noise, dim = real.rows["test"], real.rows["noise"], reference.features.dim
    if scores.count <= dim:
        yield (
            f"{scores.count:,} pictures are no more than the {dim} dimensions of the features, so the Frechet distance "
            "is mostly bias; go by KID, or give a larger --num"
        )
    yield from _remarks_on_test(scores, row, test)
    if ratio is not None and ratio < 1 and scores.copy_z is not None and scores.copy_z < -3:
        yield (
            "the pictures lie nearer to the training images than test images do, as copies would: a ratio below 1 is "
            "no triumph"
        )
    if noise is not None and noise.precision > _LOUD:
        yield (
            f"{100 * noise.precision:.0f} % of plain noise passes for precise in these features, so precision and "
            "density say little here; go by the distances"
        )
    if row is not None and row.class_accuracy is not None and row.class_accuracy < _POOR:
        yield (
            f"the classifier behind the features names only {100 * row.class_accuracy:.0f} % of test images rightly; "
            "its distances are coarse, so look at the pixels' too"
        )
    yield from _missing_classes(scores, reference)


def _remarks_on_test(scores: Scores, row: Scores | None, test: ArrayData | None) -> Iterator[str]:
    if test is None:
        yield "there are no test images and none were held out, so there is no test row and no ratio to it"
        return
    yield from (note for note in test.notes if "held out" in note)
    if row is None:
        yield f"{len(test)} test images are too few for a row of their own, so there is no ratio"
        return
    if row.count != scores.count:
        yield (
            f"the test row is of {row.count:,} pictures and the samples are {scores.count:,}: only the ratio compares "
            "equal numbers"
        )
    if row.copy_rate is not None and row.copy_rate > 0.05:
        yield (
            f"{100 * row.copy_rate:.0f} % of test images are found among the training images: the splits overlap, so "
            "the test row and the ratio say little"
        )


def _missing_classes(scores: Scores, reference: Reference) -> Iterator[str]:
    classes = reference.data.spec.classes
    missing = [name for name, share in zip(classes, scores.classes) if share == 0]
    if missing and scores.count >= 20 * len(classes):
        number = f"{len(missing)} of {len(classes)} classes"
        yield f"no picture is taken for {', '.join(missing)}: {number} are missing"


def at_least(count: int, what: str, fewest: int, remedy: str) -> None:
    """DataError for fewer pictures than the measures need."""
    if count < fewest:
        raise DataError(f"there are {count} {what}, but at least {fewest} are needed to measure with; {remedy}")


def closest(images: Tensor, found: Memorization, train: ArrayData) -> Any:
    """The 16 pictures nearest to a training image, above these, with their distances."""
    order = found.distances.argsort()[:CLOSEST]
    titled = []
    for part in torch.split(order, CLOSEST // 2):
        low, high = found.distances[part[0]], found.distances[part[-1]]
        titled.append((f"samples, {low:.1f} to {high:.1f} grey levels from", _channels_last(images[part])))
        titled.append(("their nearest training images", _channels_last(train.fetch(found.indices[part])[0])))
    return rows(titled)


def _channels_last(images: Tensor) -> Any:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
