"""An evaluation: scores, the same scores of real images beside them, and the protocol that they were made under.

evaluation.json (schema 1):
    metrics          the Scores of the pictures
    reference_rows   test, train_halves, noise: the Scores of those, at the same number of pictures where there are
                     that many; null where there are no such images
    ratio_to_test    the Frechet distance over the test row's, at that row's count; null without a test row
    protocol         measure: all that decides the figures; sampling: how the pictures were made
    statistics       the Frechet distance to statistics that somebody else measured, where a file of them was given
    deep             classification accuracy, two-sample test and bits per dimension, where they were asked for
    notes            sentences that belong to the figures
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fromnoise.errors import DataError
from fromnoise.metrics.scores import Scores

SCHEMA = 1
ROWS = {"test": "test images", "train_halves": "half of the training images against the other", "noise": "noise"}


@dataclass(frozen=True)
class Evaluation:
    """The parts of evaluation.json; see the module."""

    metrics: Scores
    reference_rows: Mapping[str, Scores | None]
    ratio_to_test: float | None
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
            "protocol": self.protocol,
            "statistics": self.statistics,
            "deep": self.deep,
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any], where: str = "the evaluation") -> Evaluation:
        """The Evaluation that `to_json` described; DataError for another schema or missing parts."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
            rows = {name: Scores.from_json(row) if row else None for name, row in content["reference_rows"].items()}
            return Evaluation(
                Scores.from_json(content["metrics"]),
                rows,
                content["ratio_to_test"],
                content["protocol"],
                content["statistics"],
                content["deep"],
                tuple(content["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where} cannot be read ({error}); evaluate again") from error

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
    "frechet_interval": "  95 % of such sets",
    "frechet_infinite": "  with endless pictures",
    "kid": "KID x 1000",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "label_agreement": "taken for their class",
    "frechet_pixels": "Frechet distance, pixels",
    "histogram_distance": "brightness off, grey levels",
    "copy_rate": "copies of training images",
    "copy_rate_features": "  copies in features",
    "copy_z": "  nearer than test images (z)",
    "duplicate_rate": "duplicates",
}
_SHARES = {"precision", "recall", "coverage", "label_agreement", "copy_rate", "copy_rate_features", "duplicate_rate"}


def said(key: str, scores: Scores) -> str:
    """The measure `key` of MEASURES as it is read."""
    value = getattr(scores, key)
    if value is None:
        return "-"
    if key == "count":
        return f"{value:,}"
    if key == "frechet_interval":
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if key == "kid":
        return f"{1000 * value:.3g} ± {1000 * scores.kid_stderr:.1g}"
    if key in _SHARES:
        return f"{100 * value:.1f} %" if value in (0, 1) or value >= 0.001 else f"{100 * value:.2f} %"
    return f"{value:.1f}" if key == "copy_z" else f"{value:.4g}"
