"""What an independent classifier, trained on the real images, makes of a run's samples."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fromnoise.data import cache_dir
from fromnoise.metrics.class_accuracy import ClassAccuracy, class_accuracy
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.model.legacy import make

if TYPE_CHECKING:
    from fromnoise.run import Run

SAMPLES = 200


@dataclass(frozen=True)
class Verdict:
    """The judgement on `count` samples."""

    judgement: ClassAccuracy
    count: int

    def words(self) -> str:
        """`96.5 % of 200 samples, by a classifier trained on the real images`."""
        share = 100 * (self.judgement.accuracy or 0.0)
        return f"{share:.1f} % of {self.count} samples, by a classifier trained on the real images"


def judged(run: Run) -> Verdict | None:
    """The verdict on seeds 0..199, every class equally often; None for a run without at least two classes.

    The classifier is trained once for a set of images and kept in the cache folder.
    """
    classes = len(run.spec.classes)
    if classes < 2 or run.data.labels is None:
        return None
    print("training a classifier on the real images, once for this data ...", file=sys.stderr, flush=True)
    classifier = cached_classifier(run.data, cache_dir() / "classifiers")
    labels = torch.arange(SAMPLES) % classes
    samples = make(run, run.denoiser(), list(range(SAMPLES)), labels, run.settings.sample)
    pictures = torch.from_numpy(samples.images).permute(0, 3, 1, 2)
    return Verdict(class_accuracy(classifier, pictures, labels), SAMPLES)
