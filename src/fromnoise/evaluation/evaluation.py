"""An evaluation: scores, the same scores of real images beside them, and the protocol that they were made under.

evaluation.json (schema 1):
    metrics          the Scores of the pictures
    reference_rows   test, train_halves, noise: the Scores of those, at the same number of pictures where there are
                     that many; null where there are no such images
    ratio_to_test    the Frechet distance over the test row's, at that row's count; null without a test row
    ratio_interval   its 95 % interval, from the bootstraps of both
    protocol         measure: all that decides the figures; sampling: how the pictures were made
    statistics       the Frechet distance to statistics that somebody else measured, where a file of them was given
    deep             classification accuracy, two-sample test and bits per dimension, where they were asked for
    notes            sentences that belong to the figures
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.evaluation.scores import Scores

SCHEMA = 1
ROWS = ("test", "train_halves", "noise")


@dataclass(frozen=True)
class Evaluation:
    """The parts of evaluation.json; see the module."""

    metrics: Scores
    reference_rows: Mapping[str, Scores | None]
    ratio_to_test: float | None
    ratio_interval: tuple[float, float] | None
    protocol: Mapping[str, Any]
    statistics: Mapping[str, Any] | None = None
    deep: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The content of evaluation.json."""
        return {
            "schema": SCHEMA,
            "metrics": self.metrics.to_json(),
            "reference_rows": {name: row.to_json() if row else None for name, row in self.reference_rows.items()},
            "ratio_to_test": self.ratio_to_test,
            "ratio_interval": self.ratio_interval,
            "protocol": self.protocol,
            "statistics": self.statistics,
            "deep": self.deep,
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any], where: str = "the evaluation") -> Evaluation:
        """The Evaluation that `to_json` described; DataError for another schema or missing or damaged parts."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
            rows = {name: content["reference_rows"][name] for name in ROWS}
            interval = content["ratio_interval"]
            return Evaluation(
                Scores.from_json(content["metrics"]),
                {name: Scores.from_json(row) if row else None for name, row in rows.items()},
                content["ratio_to_test"],
                None if interval is None else (float(interval[0]), float(interval[1])),
                {name: dict(content["protocol"][name]) for name in ("measure", "sampling")},
                content["statistics"],
                content["deep"],
                tuple(content["notes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where} is no evaluation, or is damaged ({error}); evaluate again") from error

    def table(self) -> list[list[str]]:
        """Rows of text, the first a heading: every measure of the pictures and of the rows beside them."""
        columns = {
            "samples": self.metrics,
            **{name.replace("_", " "): row for name, row in self.reference_rows.items()},
        }
        there = {name: scores for name, scores in columns.items() if scores is not None}
        body = [[about, *(said(key, scores) for scores in there.values())] for key, about in MEASURES.items()]
        return [["", *there], *(row for row in body if any(cell != "-" for cell in row[1:]))]


MEASURES = {
    "count": "pictures",
    "frechet_distance": "Frechet distance",
    "frechet_interval": "  95 % interval",
    "frechet_infinite": "  with endless pictures",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "class_accuracy": "taken for their class",
    "frechet_pixels": "Frechet distance, pixels",
    "histogram_distance": "brightness off, grey levels",
    "copy_rate": "copies of training images",
    "copy_rate_features": "  copies in features",
    "copy_z": "  nearer than test images (z)",
    "duplicate_rate": "duplicates",
}
_SHARES = {"precision", "recall", "coverage", "class_accuracy", "copy_rate", "copy_rate_features", "duplicate_rate"}


def said(key: str, scores: Scores) -> str:
    """The measure `key` of MEASURES as it is read."""
    value = getattr(scores, key)
    if value is None:
        return "-"
    if key == "count":
        return f"{value:,}"
    if key == "frechet_interval":
        return f"{plain(value[0])} to {plain(value[1])}"
    if key == "kid":
        return f"{plain(value)} ± {plain(scores.kid_stderr, 1)}"
    if key in _SHARES:
        return f"{100 * value:.1f} %" if value in (0, 1) or value >= 0.001 else f"{100 * value:.2f} %"
    if key == "frechet_infinite":
        return plain(max(0.0, value))
    return f"{value:.1f}" if key == "copy_z" else plain(value)


def plain(value: float, digits: int = 3) -> str:
    """A number in `digits` significant digits without powers of ten: 0.0149, 5.91, 7,160."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
