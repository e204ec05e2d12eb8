"""Memorisation: how many samples copy a training image, compared with how many test images seem to.

A sample is a copy if its nearest training image

    is closer than a third of the distance to the second nearest (Yoon et al. 2023,
    https://openreview.net/forum?id=shciCbSk9h; Gu et al. 2023, https://arxiv.org/abs/2310.02664), or
    is closer than 999 of 1,000 test images are to theirs, or is identical to it;

in pixels, and by the same rule in features. The rule misses a copy that was shifted or changed in brightness, in pixels
always and in features mostly: a rate of 0 excludes plain copies only. Mirrored copies are looked for, in pixels, where
the model was trained on mirrored images too. The same rate of test
images is the rule's false positive rate.

z is the Mann-Whitney z-score of distances sample to training against test to training (after Meehan et al. 2020,
https://arxiv.org/abs/2004.05675): below about -3, samples as a whole are nearer to training images than unseen real
images are. A duplicate is a sample that has another sample nearer than 999 of 1,000 equally many training images have
another, or an identical one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData, ImageData
from fromnoise.data.rows import Pixels
from fromnoise.metrics.nearest_neighbours import nearest, nearest_features

_CLOSER = 3  # times closer than the second nearest
_RARE = 1000  # one real image in so many is as close


@dataclass(frozen=True)
class Baseline:
    """Thresholds and rates of real images; they follow from the data alone, so they can be kept.

    count: images that are searched for duplicates. duplicate_below: distance to another image below which an image is
    a duplicate. distances: float32 (M,), test to training in pixels, sorted; empty without test images, where the rates
    are None. copy_below, copy_below_features: distances below which an image is a copy. test_rate,
    test_rate_features: share of test images that the rule counts as copies, 0 to 1. mirrored: whether mirror images
    count as copies.
    """

    count: int
    duplicate_below: float
    distances: Tensor
    copy_below: float
    copy_below_features: float
    test_rate: float | None
    test_rate_features: float | None
    mirrored: bool = False


@dataclass(frozen=True)
class Memorization:
    """Copies and duplicates among samples.

    copy_rate, copy_rate_features, duplicate_rate: shares of samples, 0 to 1. test_rate(_features): of test images. z:
    see the module. All but duplicate_rate are None without test images. distances float32 (N,), in grey levels, and
    indices int64 (N,): the nearest training image of each sample, in pixels.
    """

    copy_rate: float | None
    test_rate: float | None
    copy_rate_features: float | None
    test_rate_features: float | None
    z: float | None
    duplicate_rate: float
    distances: Tensor
    indices: Tensor


def measure_baseline(
    train: ArrayData,
    train_features: Tensor,
    test: ArrayData | None,
    test_features: Tensor | None,
    *,
    count: int,
    mirrored: bool = False,
    seed: int = 0,
) -> Baseline:
    """The Baseline for `count` samples.

    Arguments:
        train_features, test_features: (N, d) and (M, d), of all the images.
        test: images that the model was not trained on; without them only duplicates can be found, no copies.
        mirrored: whether the model was trained on mirrored images too.

    Raises:
        DataError: for test images of another shape or space, another number of features, or fewer than 2 training
            images.
    """
    _one_each(train_features, len(train))
    count = min(count, len(train))
    duplicate_below = _duplicate_threshold(train, count, seed)
    if test is None or test_features is None:
        return Baseline(count, duplicate_below, torch.zeros(0), 0.0, 0.0, None, None, mirrored)
    _one_each(test_features, len(test))
    pairs, _ = nearest(test.images, train, k=2, mirrored=mirrored)
    feature_pairs, _ = nearest_features(test_features, train_features, k=2)
    copy_below, copy_below_features = _rare(pairs[:, 0]), _rare(feature_pairs[:, 0])
    rates = (
        float(copies(pairs, copy_below).double().mean()),
        float(copies(feature_pairs, copy_below_features).double().mean()),
    )
    distances = pairs[:, 0].sort().values
    return Baseline(count, duplicate_below, distances, copy_below, copy_below_features, *rates, mirrored)


def baseline_for_count(baseline: Baseline, train: ArrayData, count: int, *, seed: int = 0) -> Baseline:
    """The Baseline for another number of samples; only the threshold of duplicates depends on it."""
    count = min(count, len(train))
    return (
        baseline
        if count == baseline.count
        else replace(baseline, count=count, duplicate_below=_duplicate_threshold(train, count, seed))
    )


def memorization(
    samples: Tensor, train: ImageData, features: Tensor, train_features: Tensor, baseline: Baseline
) -> Memorization:
    """Copies and duplicates among samples; see the module for the rule.

    Arguments:
        samples: uint8 (N, C, H, W); of more samples than training images, only as many are searched for duplicates,
            at random.
        features, train_features: of the samples (N, d) and of the training images (M, d).
        baseline: of `measure_baseline`, for as many samples.

    Raises:
        DataError: for no samples, another shape or space, another number of features, or a baseline for another number
            of samples.

    References:
        Yoon et al. 2023; Gu et al. 2023, https://arxiv.org/abs/2310.02664; Meehan et al. 2020,
        https://arxiv.org/abs/2004.05675
    """
    _one_each(features, len(samples))
    _one_each(train_features, len(train))
    if not len(samples) or baseline.count != min(len(samples), len(train)):
        raise DataError(
            f"there are {len(samples)} samples, but the baseline was measured for {baseline.count}; "
            "measure both for the same number, at least 1"
        )
    pairs, indices = nearest(samples, train, k=2, mirrored=baseline.mirrored)
    fresh = baseline.test_rate is not None
    feature_pairs = nearest_features(features, train_features, k=2)[0] if fresh else None
    searched = torch.randperm(len(samples), generator=generator(0, "searched for duplicates"))[: baseline.count]
    others = _nearest_other(samples[searched] if baseline.count < len(samples) else samples, train)
    return Memorization(
        copy_rate=float(copies(pairs, baseline.copy_below).double().mean()) if fresh else None,
        test_rate=baseline.test_rate,
        copy_rate_features=None
        if feature_pairs is None
        else float(copies(feature_pairs, baseline.copy_below_features).double().mean()),
        test_rate_features=baseline.test_rate_features,
        z=rank_z(pairs[:, 0], baseline.distances) if fresh else None,
        duplicate_rate=float(((others < baseline.duplicate_below) | (others == 0)).double().mean()),
        distances=pairs[:, 0].contiguous(),
        indices=indices[:, 0].contiguous(),
    )


def rank_z(first: Tensor, second: Tensor) -> float:
    """The Mann-Whitney z-score of `first` (N,) against `second` (M,): below 0 where first's values are the smaller.

    Ties count half, also in the variance; 0 where all values are equal.
    """
    n, m = len(first), len(second)
    first, order = first.contiguous(), second.sort().values
    below = torch.searchsorted(order, first, right=False).double()
    above = torch.searchsorted(order, first, right=True).double()
    ties = torch.unique_consecutive(torch.cat([first, order]).sort().values, return_counts=True)[1].double()
    total = n + m
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    return (float((below + above).sum() / 2) - n * m / 2) / variance**0.5 if variance > 0 else 0.0


def copies(pairs: Tensor, copy_below: float) -> Tensor:
    """Which images are copies, bool (N,), by their distances (N, 2) to the nearest two others; see the module."""
    return (pairs[:, 0] * _CLOSER < pairs[:, 1]) | (pairs[:, 0] < copy_below) | (pairs[:, 0] == 0)


def rate_by_chance(test_images: int) -> float:
    """The share of unseen images, 0 to 1, that only once in 100 times is nearer than each of so many test images.

    1 - 0.01^(1 / M): the share follows Beta(1, M). Of 20 test images 21 %, of 100 4.5 %, of 1,000 0.5 %.
    """
    return 1 - math.pow(0.01, 1 / test_images)


def _rare(distances: Tensor) -> float:
    """The distance that 999 of 1,000 reach; of fewer than 1,000, the least."""
    return float(distances.sort().values[len(distances) // _RARE])


def _duplicate_threshold(train: ArrayData, count: int, seed: int) -> float:
    chosen = torch.randperm(len(train), generator=generator(seed, "twins"))[:count]
    others = _nearest_other(train.subset(chosen).images, train)
    return _rare(others) if len(others) else 0.0


def _nearest_other(images: Pixels, like: ImageData) -> Tensor:
    """The distance (N,) of each image to the nearest other; inf for an image alone."""
    if len(images) < 2:
        return torch.full((len(images),), float("inf"))
    # The image itself is among its two nearest, at 0: the second distance is to another image.
    return nearest(images, ArrayData("images", "", images, None, like.spec), k=2)[0][:, 1]


def _one_each(features: Tensor, count: int) -> None:
    if len(features) != count:
        raise DataError(f"there are {count} images, but features of {len(features)}; give one row for each image")
