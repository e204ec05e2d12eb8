"""What a classifier makes of pictures: is each what it was made for, and is it anything at all?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.metrics.classifier import Classifier

SURE = 0.9  # a picture with a class above this probability is taken for one class


@dataclass(frozen=True)
class Judgement:
    """confidence: mean probability of the likeliest class. one_class: share of pictures whose likeliest class has
    more than 0.9. histogram: share of pictures by likeliest class. agreement: share of pictures taken for the
    class they were made for, None where they were made for none. All are 0..1.
    """

    confidence: float
    one_class: float
    histogram: tuple[float, ...]
    agreement: float | None = None


def judge(classifier: Classifier, images: Tensor, labels: Tensor | None = None) -> Judgement:
    """The Judgement on uint8 images (N, C, H, W), made for `labels` (N,) if given.

    Raises DataError for no pictures, labels of another number, or labels that are none of the classes.
    """
    probabilities = _probabilities(classifier, images)
    top, guess = probabilities.max(1)
    counts = guess.bincount(minlength=probabilities.shape[1]).double() / len(images)
    return Judgement(
        confidence=float(top.double().mean()),
        one_class=float((top > SURE).double().mean()),
        histogram=tuple(counts.tolist()),
        agreement=None if labels is None else _agreement(guess, labels.cpu(), probabilities.shape[1]),
    )


def _probabilities(classifier: Classifier, images: Tensor) -> Tensor:
    if not len(images):
        raise DataError("there are 0 pictures to judge, but at least 1 is needed; make some samples first")
    return classifier.probabilities(images)


def _agreement(guess: Tensor, labels: Tensor, classes: int) -> float:
    if labels.shape != guess.shape:
        raise DataError(f"there are {len(guess)} pictures, but labels {tuple(labels.shape)}; give one for each picture")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise DataError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but the classifier knows classes 0 to "
            f"{classes - 1}; judge pictures without a class by leaving labels out"
        )
    return float((guess == labels).double().mean())
