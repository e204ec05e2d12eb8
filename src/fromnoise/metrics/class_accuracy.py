"""Class accuracy and confidence of samples under a classifier of the real images.

class accuracy = share of samples whose most probable class is the class that they were conditioned on"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.metrics.classifier import Classifier

CONFIDENT = 0.9  # an image with a class above this probability counts as recognisable


@dataclass(frozen=True)
class ClassAccuracy:
    """What a classifier finds in images; all are 0 to 1.

    confidence: mean probability of the most probable class. one_class: share of images whose most probable class has
    more than 0.9. histogram: share of images by most probable class. accuracy: share of images whose most probable
    class is their label, None without labels.
    """

    confidence: float
    one_class: float
    histogram: tuple[float, ...]
    accuracy: float | None = None


def class_accuracy(classifier: Classifier, images: Tensor, labels: Tensor | None = None) -> ClassAccuracy:
    """Classify images.

    Arguments:
        classifier: of the real images.
        images: uint8 (N, C, H, W).
        labels: the classes that they were conditioned on, (N,), or None.

    Raises:
        DataError: for no images, another number of labels, or labels outside the classes.
    """
    probabilities = _probabilities(classifier, images)
    top, predicted = probabilities.max(1)
    counts = predicted.bincount(minlength=probabilities.shape[1]).double() / len(images)
    return ClassAccuracy(
        confidence=float(top.double().mean()),
        one_class=float((top > CONFIDENT).double().mean()),
        histogram=tuple(counts.tolist()),
        accuracy=None if labels is None else _accuracy(predicted, labels.cpu(), probabilities.shape[1]),
    )


def _probabilities(classifier: Classifier, images: Tensor) -> Tensor:
    if not len(images):
        raise DataError("there are 0 images to classify, but at least 1 is needed; make some samples first")
    return classifier.probabilities(images)


def _accuracy(predicted: Tensor, labels: Tensor, classes: int) -> float:
    if labels.shape != predicted.shape:
        raise DataError(f"there are {len(predicted)} images, but labels {tuple(labels.shape)}; give one for each image")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise DataError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, but the classifier knows classes 0 to "
            f"{classes - 1}; leave labels out for images without a class"
        )
    return float((predicted == labels).double().mean())
