"""An evaluation: scores, the same scores of the reference rows, and the protocol.

evaluation.json (schema 2; schema 1, which called two parts otherwise, is read as well):
    metrics          the Scores of the samples
    reference_rows   test, train_halves, noise: Scores of the same number of images where there are that many; null
                     where there are no such images
    ratio_to_test    FD / FD(test), at the count of the test row; null without a test row
    ratio_interval   its 95 % interval, from the bootstraps of both
    protocol         measure: all that decides the numbers; sampling: how the samples were made
    statistics       the Fréchet distance to statistics measured elsewhere, where a file of them was given
    extended         classification accuracy score, two-sample test and bits per dimension, where they were requested
    conditions       rank correlation of asked and measured numbers by name, of samples and of test images; not there
                     for a model without conditions
    notes            sentences that a reader of the numbers must know
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.common.stored_json import signed
from fromnoise.evaluation.scores import Scores, is_number

SCHEMA = 2
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
    extended: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())
    conditions: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of evaluation.json, with its checksum."""
        content = {
            "schema": SCHEMA,
            "metrics": self.metrics.to_json(),
            "reference_rows": {name: row.to_json() if row else None for name, row in self.reference_rows.items()},
            "ratio_to_test": self.ratio_to_test,
            "ratio_interval": self.ratio_interval,
            "protocol": self.protocol,
            "statistics": self.statistics,
            "extended": self.extended,
            "notes": list(self.notes),
            **({} if self.conditions is None else {"conditions": self.conditions}),
        }
        return signed(content)

    @staticmethod
    def from_json(content: Mapping[str, Any], where: str = "the evaluation") -> Evaluation:
        """The inverse of `to_json`; DataError for another schema or missing or damaged parts."""
        try:
            if content["schema"] not in (1, SCHEMA):
                raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
            rows = {name: content["reference_rows"][name] for name in ROWS}
            interval, statistics = content["ratio_interval"], content["statistics"]
            extended = content["deep" if content["schema"] == 1 else "extended"]
            distance = None if statistics is None else (str(statistics["file"]) and statistics["frechet_distance"])
            conditions = content.get("conditions")
            _check_numbers(*(row[of] for row in (conditions or {}).values() for of in ("samples", "test")))
            _check_numbers(content["ratio_to_test"], distance, *(extended or {}).values())
            return Evaluation(
                Scores.from_json(content["metrics"]),
                {name: Scores.from_json(row) if row else None for name, row in rows.items()},
                content["ratio_to_test"],
                None if interval is None else (float(interval[0]), float(interval[1])),
                {name: dict(content["protocol"][name]) for name in ("measure", "sampling")},
                statistics,
                extended,
                tuple(map(str, content["notes"])),
                conditions,
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(f"{where} is not an evaluation, or is damaged ({error}); evaluate again") from error


def _check_numbers(*values: Any) -> None:
    """ValueError for a value that is neither a number nor None."""
    for value in values:
        if value is not None and not is_number(value):
            raise ValueError(f"{value!r} is in the place of a number")
