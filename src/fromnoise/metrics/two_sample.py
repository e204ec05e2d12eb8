"""Classifier two-sample test: can a classifier learn to tell samples from real images?

accuracy on held-out pictures, half of them samples; under "one kind", accuracy ~ N(1/2, 1 / (4 n))

Lopez-Paz & Oquab 2017. 0.5: the classifier finds no difference; exactly 0.5 where it learned nothing and gives all
pictures one name. A good one finds something in almost every generator, so the accuracy says more than the p value.
Images that the generator was trained on may look more like its samples than others do; take those that it never saw
where there are enough, and all or a random part of them: the first 4,000 of MNIST's training images are told from the
next 4,000 in 54 % of cases, since neighbours in the file have one writer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.classifier import accuracy, train_classifier

FEWEST = 20  # pictures of each kind: ten to learn from, ten to test with


@dataclass(frozen=True)
class TwoSample:
    """accuracy: share of held-out pictures named rightly, 0..1; stderr: its binomial standard error.

    p_value: how likely that accuracy or a higher one is if both are of one kind. count: of held-out pictures.
    """

    accuracy: float
    stderr: float
    p_value: float
    count: int


def two_sample_test(samples: Tensor, real: Tensor, *, seed: int = 0) -> TwoSample:
    """The TwoSample of uint8 pictures (N, C, H, W) and (M, C, H, W); of the larger set, as many as of the smaller.

    Which are learned from and which are held out is drawn by `seed`. Raises DataError for pictures that are not
    uint8, differ in shape, or are fewer than 20.
    """
    _check(samples, real)
    count = min(len(samples), len(real))
    kinds = [_some(images, count, seed, number) for number, images in enumerate((samples, real))]
    learned, held_out = (_labelled([kind[part] for kind in kinds]) for part in _halves(count))
    found = accuracy(train_classifier(learned, seed=seed), held_out)
    trials = len(held_out)
    z = (found - 0.5) * 2 * math.sqrt(trials)
    return TwoSample(found, math.sqrt(found * (1 - found) / trials), math.erfc(z / math.sqrt(2)) / 2, trials)


def _check(samples: Tensor, real: Tensor) -> None:
    for images in (samples, real):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != samples.shape[1:]:
            given = [f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in (samples, real)]
            raise DataError(
                f"the samples are {given[0]} and the real images {given[1]}, but both must be uint8 (N, C, H, W) of "
                "one shape; give pictures that can be compared"
            )
    if min(len(samples), len(real)) < FEWEST:
        raise DataError(
            f"there are {len(samples)} samples and {len(real)} real images, but {FEWEST} of each are needed; give more"
        )


def _some(images: Tensor, count: int, seed: int, kind: int) -> Tensor:
    return images.cpu()[torch.randperm(len(images), generator=generator(seed, "two samples", kind))[:count]]


def _halves(count: int) -> tuple[slice, slice]:
    return slice(0, count // 2), slice(count // 2, count)


def _labelled(kinds: list[Tensor]) -> ArrayData:
    images = torch.cat(kinds)
    labels = torch.arange(2).repeat_interleave(torch.tensor([len(kind) for kind in kinds]))
    _, channels, height, width = images.shape
    return ArrayData("two samples", "", images, labels, ImageSpec(channels, height, width, ("sample", "real")))
