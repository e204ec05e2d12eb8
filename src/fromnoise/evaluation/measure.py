"""Samples measured beside real images, wherever they come from: scores, ratio, notes, the closest pairs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.conditions import measure_conditions
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.notes import notes_on
from fromnoise.evaluation.protocol import measurement
from fromnoise.evaluation.reference import Reference
from fromnoise.evaluation.reference_rows import ReferenceRows
from fromnoise.evaluation.samples import SampleSet
from fromnoise.evaluation.scores import Scores, check_shape, score
from fromnoise.figures.image_rows import rows
from fromnoise.metrics.frechet import Statistics, frechet_distance, frechet_interval, statistics
from fromnoise.metrics.memorization import Memorization

CLOSEST = 16
_Z95 = 1.96
_ROUNDING = 1e-9  # of another distance: what is left of one between sets of one image


@dataclass(frozen=True)
class Measured:
    """An evaluation with what it was made from.

    closest: figure of the 16 samples closest to training images, above these. samples: what was measured. reference:
    the real images, whose statistics may be kept.
    """

    evaluation: Evaluation
    closest: Any
    samples: SampleSet
    reference: Reference


@dataclass(frozen=True)
class ExternalStatistics:
    """Statistics measured elsewhere, and the file that they came from. space: of which features, or ""."""

    path: Path
    statistics: Statistics
    space: str

    def compared(self, embedded: Tensor) -> dict[str, Any]:
        """The Fréchet distance of features (N, dim) to them, and which file that is, as plain JSON."""
        distance = frechet_distance(statistics(embedded), self.statistics)
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]
        known = {"file": self.path.name, "sha256": digest, "count": self.statistics.count, "space": self.space or None}
        return {**known, "frechet_distance": distance}


def measure(
    samples: SampleSet,
    embedded: Tensor,
    reference: Reference,
    real: ReferenceRows,
    test: ArrayData | None,
    external: ExternalStatistics | None = None,
    notes: Sequence[str] = (),
) -> Measured:
    """Measure samples beside the reference rows `real`.

    Arguments:
        embedded: the samples' features.
        test: the test images that `real` was made from.
        external: also measure the distance to these statistics.
        notes: sentences to put before those that follow from the numbers.

    Raises:
        DataError: for samples of another shape than the reference.
    """
    check_shape(samples.images, reference.data)
    scores, nearest = score(samples.images, samples.labels, embedded, reference, real.baseline)
    ratio, interval = _ratio(embedded, scores, reference, real.rows["test"])
    measured_with = measurement(scores.count, reference.data, test, reference.features, reference.mirrored)
    evaluation = Evaluation(
        scores,
        real.rows,
        ratio,
        interval,
        {"measure": measured_with, "sampling": samples.sampling},
        statistics=external.compared(embedded) if external else None,
        notes=(*notes, *notes_on(scores, real.rows, reference, test, ratio)),
        conditions=measure_conditions(samples, embedded, reference, test),
    )
    return Measured(evaluation, closest_pairs(samples.images, nearest, reference.data), samples, reference)


def _ratio(
    embedded: Tensor, scores: Scores, reference: Reference, row: Scores | None
) -> tuple[float | None, tuple[float, float] | None]:
    """FD / FD(test) at the test row's count, and its 95 % interval; None without a test row, or with one of one image.

    Of more samples than test images a random part is taken: files are often sorted by class.
    """
    if row is None or row.frechet_distance <= _ROUNDING * scores.frechet_distance:
        return None, None
    distance, interval = scores.frechet_distance, scores.frechet_interval
    if row.count < scores.count:
        chosen = torch.randperm(len(embedded), generator=generator(0, "as many as test images"))[: row.count]
        distance = frechet_distance(statistics(embedded[chosen]), reference.statistics)
        interval = frechet_interval(embedded[chosen], reference.statistics)
    ratio = distance / row.frechet_distance
    error = math.hypot(_log_error(distance, interval), _log_error(row.frechet_distance, row.frechet_interval))
    return ratio, (ratio * math.exp(-_Z95 * error), ratio * math.exp(_Z95 * error))


def _log_error(value: float, interval: tuple[float, float]) -> float:
    """The standard error of ln(value) from its 95 % interval; those of a ratio's two parts add up in squares."""
    relative = (interval[1] - interval[0]) / (2 * _Z95) / value if value else 0.0
    return math.sqrt(math.log1p(relative**2))


def closest_pairs(images: Tensor, nearest: Memorization, train: ArrayData) -> Any:
    """The up to 16 samples nearest to a training image, in two rows above these, with their distances."""
    order = nearest.distances.argsort()
    half = min(CLOSEST, len(order)) // 2
    titled = []
    for part in torch.split(order[: 2 * half], half):
        low, high = nearest.distances[part[0]], nearest.distances[part[-1]]
        titled.append((f"samples, {low:.1f} to {high:.1f} grey levels from", _channels_last(images[part])))
        titled.append(("their nearest training images", _channels_last(train.fetch(nearest.indices[part])[0])))
    return rows(titled)


def _channels_last(images: Tensor) -> Any:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
