"""Files of samples scored by our protocol, beside what only a board asks: copies of test images, and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from board.entry import kept_scores

from fromnoise.common.errors import DataError
from fromnoise.common.options import changed
from fromnoise.data import DataOptions, load, unseen
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluate import EvaluationSpec, prepare
from fromnoise.evaluation.external_samples import measure_external
from fromnoise.evaluation.protocol import measurement
from fromnoise.evaluation.reference import Reference
from fromnoise.evaluation.reference_rows import ReferenceRows
from fromnoise.metrics.memorization import copies
from fromnoise.metrics.nearest_neighbours import nearest


@dataclass(frozen=True)
class Scored:
    """What a file of samples is: the digest of the file and of its images, their number, protocol and scores."""

    sha256: str
    images: str
    count: int
    measure: dict[str, Any]
    test: dict[str, Any] | None
    scores: dict[str, Any]


class Scorer:
    """The real images of one data set, read and embedded once."""

    def __init__(self, source: str, settings: Mapping[str, Any]) -> None:
        options = changed(DataOptions(source=source), settings, "data")
        self.train = load(options)
        self.test = unseen(options, self.train)
        self._prepared: dict[int, tuple[Reference, ReferenceRows]] = {}

    def score(self, path: Path) -> Scored:
        """Measure the images in the .npz `path`; DataError where it is missing or holds something else."""
        if not path.exists():
            raise DataError(f"there are no samples in {path}; write an .npz with images uint8 (N, H, W, C) there")
        samples = load(DataOptions(source=str(path), holdout=0.0, range="full"))
        reference, real = self._reference(len(samples))
        measured = measure_external(samples, reference, real, self.test, file=path.name)
        assert measured is not None  # one process is at work here
        evaluation = measured.evaluation
        scores = {**evaluation.metrics.to_json(), "ratio_to_test": evaluation.ratio_to_test}
        scores["test_copy_rate"] = self._copies_of_test(samples, real)
        row = evaluation.reference_rows["test"]
        return Scored(
            sha256(path),
            samples.fingerprint,
            len(samples),
            evaluation.protocol["measure"],
            kept_scores(row.to_json()) if row else None,
            kept_scores(scores),
        )

    def protocol(self, count: int) -> dict[str, Any]:
        """The `measure` of `count` samples before there are any."""
        reference, _ = self._reference(count)
        return measurement(count, reference.data, self.test, reference.features, reference.mirrored)

    def export(self, path: Path) -> Path:
        """The training images as an .npz: images uint8 (N, H, W, C), and labels where there are classes."""
        arrays: dict[str, Any] = {"images": self.train.images[:].permute(0, 2, 3, 1).numpy()}
        if self.train.labels is not None:
            arrays["labels"] = self.train.labels.numpy()
        np.savez(path, **arrays)
        return path

    def _reference(self, count: int) -> tuple[Reference, ReferenceRows]:
        if count not in self._prepared:
            reference, real, _ = prepare(self.train, self.test, count, EvaluationSpec())
            assert real is not None
            self._prepared[count] = reference, real
        return self._prepared[count]

    def _copies_of_test(self, samples: ArrayData, real: ReferenceRows) -> float | None:
        """The share of samples that copy a test image, by the rule for copies of training images."""
        if self.test is None or len(self.test) < 2:
            return None
        pairs, _ = nearest(samples.images[:], self.test, k=2)
        return float(copies(pairs, real.baseline.copy_below).double().mean())


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
