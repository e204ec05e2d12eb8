"""Two measures that train a classifier: classification accuracy score (CAS), classifier two-sample test (C2ST).

CAS     the accuracy on real images of a classifier trained on samples alone (Ravuri & Vinyals 2019). A class that is
        missing among the samples, or wrong labels, lower it. Read it beside the accuracy of the same classifier
        trained on equally many real images.
C2ST    the accuracy on validation images of a classifier of samples against real images (Lopez-Paz & Oquab 2017):

            under the null hypothesis of one distribution, accuracy ~ N(1/2, 1 / (4 n))

        0.5: no difference was found; exactly 0.5 where it learned nothing and assigns all images to one side. Almost
        every generator differs from real images, so the accuracy says more than the p value. Give real images
        that the generator was not trained on, all or a random part of them: the first 4,000 training images of MNIST
        are separated from the next 4,000 with an accuracy of 54 %, since neighbours in the file have one writer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.common.text import some
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.classifier import accuracy
from fromnoise.metrics.classifier_training import labels_of, train_classifier

FEWEST = 20  # images of each side: ten to learn from, ten to test with


def classification_accuracy_score(samples: ArrayData, test: ArrayData, *, seed: int = 0) -> float:
    """Classification accuracy score (CAS): the accuracy on `test` of a classifier trained on `samples` alone, 0 to 1.

    Raises:
        DataError: for samples without labels or with fewer than two classes, for a test set without images or labels,
            and where the two differ in classes or shape.

    References:
        Ravuri & Vinyals 2019, https://arxiv.org/abs/1905.10887
    """
    labels_of(samples)
    if test.labels is None or not len(test):
        raise DataError(f"{test.name} has no labelled images to test on; give labelled data")
    if samples.spec.classes != test.spec.classes:
        ours, theirs = (some(data.spec.classes) or "none" for data in (samples, test))
        raise DataError(
            f"the samples' classes are {ours}, but those of {test.name} are {theirs}; give the same classes"
        )
    if samples.spec.shape != test.spec.shape:
        raise DataError(
            f"the samples are {samples.spec.shape}, but {test.name} is {test.spec.shape}; compare images of one shape"
        )
    return accuracy(train_classifier(samples, seed=seed), test)


@dataclass(frozen=True)
class TwoSample:
    """The result of a classifier two-sample test.

    accuracy: share of validation images that the classifier assigns to their side, 0 to 1. stderr: its binomial
    standard error. p_value: how likely that accuracy or a higher one is if both sides have one distribution. count: of
    validation images.
    """

    accuracy: float
    stderr: float
    p_value: float
    count: int


def two_sample_test(samples: Tensor, real: Tensor, *, seed: int = 0) -> TwoSample:
    """Classifier two-sample test (C2ST) of samples against real images.

    p = erfc(z / sqrt 2) / 2,  z = (2 accuracy - 1) sqrt(n)

    Arguments:
        samples: uint8 (N, C, H, W).
        real: uint8 (M, C, H, W); of the larger set, as many are taken as the smaller one has.
        seed: decides which images are learned from and which are tested with.

    Raises:
        DataError: for images that are not uint8, differ in shape, or are fewer than 20.

    References:
        Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545
    """
    _check(samples, real)
    count = min(len(samples), len(real))
    sides = [_random_part(images, count, seed, number) for number, images in enumerate((samples, real))]
    training, validation = (_labelled([side[part] for side in sides]) for part in _halves(count))
    share = accuracy(train_classifier(training, seed=seed), validation)
    trials = len(validation)
    z = (share - 0.5) * 2 * math.sqrt(trials)
    return TwoSample(share, math.sqrt(share * (1 - share) / trials), math.erfc(z / math.sqrt(2)) / 2, trials)


def _check(samples: Tensor, real: Tensor) -> None:
    for images in (samples, real):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != samples.shape[1:]:
            given = [f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in (samples, real)]
            raise DataError(
                f"the samples are {given[0]} and the real images {given[1]}, but both must be uint8 (N, C, H, W) of "
                "one shape; give images that can be compared"
            )
    if min(len(samples), len(real)) < FEWEST:
        raise DataError(
            f"there are {len(samples)} samples and {len(real)} real images, but {FEWEST} of each are needed; give more"
        )


def _random_part(images: Tensor, count: int, seed: int, side: int) -> Tensor:
    return images.cpu()[torch.randperm(len(images), generator=generator(seed, "two samples", side))[:count]]


def _halves(count: int) -> tuple[slice, slice]:
    return slice(0, count // 2), slice(count // 2, count)


def _labelled(sides: list[Tensor]) -> ArrayData:
    images = torch.cat(sides)
    labels = torch.arange(2).repeat_interleave(torch.tensor([len(side) for side in sides]))
    _, channels, height, width = images.shape
    return ArrayData("two samples", "", images, labels, ImageSpec(channels, height, width, ("sample", "real")))
