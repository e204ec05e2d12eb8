"""Does the model copy? Samples are held against their nearest training images, and against what is usual there.

A sample is a copy if its nearest training image

    is closer than a third of the distance to the second nearest (Yoon et al. 2023, Gu et al. 2023), or
    is closer than 999 of 1,000 test images are to theirs, or is its exact twin;

in pixels, and by the same rule in features. A copy that was shifted, mirrored or changed in its brightness is none in
pixels, and seldom one in features: a rate of 0 says that no plain copies are there. Test images are measured too: no
model made them, so their rate is what the rule finds where nothing was copied.

z is the Mann-Whitney score of distances sample to training against test to training (the idea of Meehan et al. 2020):
below about -3, samples as a whole lie nearer to training images than fresh real ones do. A duplicate is a sample
that has another sample nearer than 999 of 1,000 equally many training images have another, or an exact twin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData, ImageData
from fromnoise.metrics.nearest_neighbours import nearest, nearest_features

_CLOSER = 3  # times closer than the second nearest
_RARE = 1000  # one real image in so many is as close


@dataclass(frozen=True)
class Baseline:
    """What is usual among real images: it depends on the data alone, so it can be kept.

    count: pictures that are searched for duplicates. twin: the distance to another below which one of them is a
    duplicate. distances: float32 (M,), test to training in pixels, sorted; empty without test images, where the rates
    are None. bar, bar_features: distances below which a picture is a copy.
    test_rate, test_rate_features: share of test images that the rule takes for copies, 0..1.
    """

    count: int
    twin: float
    distances: Tensor
    bar: float
    bar_features: float
    test_rate: float | None
    test_rate_features: float | None


@dataclass(frozen=True)
class Copying:
    """copy_rate, copy_rate_features, duplicate_rate: shares of samples, 0..1. test_rate(_features): of test images.

    z: see above. These five of copies are None without test images. distances float32 (N,), in grey levels, and
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
    train: ImageData,
    train_features: Tensor,
    test: ImageData | None,
    test_features: Tensor | None,
    *,
    count: int,
    seed: int = 0,
) -> Baseline:
    """The Baseline for `count` samples. train_features (N, d) and test_features (M, d) are those of all the images.

    Without `test` there is no telling copies from good pictures, only duplicates. Raises DataError for test images
    of another shape or space, features of another number, or fewer than 2 training images.
    """
    _one_each(train_features, len(train))
    count = min(count, len(train))
    twin = _twin_bar(train, count, seed)
    if test is None or test_features is None:
        return Baseline(count, twin, torch.zeros(0), 0.0, 0.0, None, None)
    _one_each(test_features, len(test))
    pairs, _ = nearest(test.fetch(torch.arange(len(test)))[0], train, k=2)
    feature_pairs, _ = nearest_features(test_features, train_features, k=2)
    bar, bar_features = _rare(pairs[:, 0]), _rare(feature_pairs[:, 0])
    rates = float(_copies(pairs, bar).double().mean()), float(_copies(feature_pairs, bar_features).double().mean())
    return Baseline(count, twin, pairs[:, 0].sort().values, bar, bar_features, *rates)


def recounted(baseline: Baseline, train: ImageData, count: int, *, seed: int = 0) -> Baseline:
    """The Baseline for another number of samples: only what a duplicate is depends on that."""
    count = min(count, len(train))
    return baseline if count == baseline.count else replace(baseline, count=count, twin=_twin_bar(train, count, seed))


def copying(samples: Tensor, train: ImageData, features: Tensor, train_features: Tensor, baseline: Baseline) -> Copying:
    """The Copying of uint8 `samples` (N, C, H, W) with `features` (N, d), against the training images and theirs.

    Of more samples than training images, only as many are searched for duplicates. Raises DataError for no samples,
    another shape or space, features of another number, or a baseline for another number of samples.
    """
    _one_each(features, len(samples))
    _one_each(train_features, len(train))
    if not len(samples) or baseline.count != min(len(samples), len(train)):
        raise DataError(
            f"there are {len(samples)} samples, but the baseline was measured for {baseline.count}; "
            "measure both for the same number, at least 1"
        )
    pairs, indices = nearest(samples, train, k=2)
    fresh = baseline.test_rate is not None
    feature_pairs = nearest_features(features, train_features, k=2)[0] if fresh else None
    others = _nearest_other(samples[: baseline.count], train)
    return Copying(
        copy_rate=float(_copies(pairs, baseline.bar).double().mean()) if fresh else None,
        test_rate=baseline.test_rate,
        copy_rate_features=None
        if feature_pairs is None
        else float(_copies(feature_pairs, baseline.bar_features).double().mean()),
        test_rate_features=baseline.test_rate_features,
        z=rank_z(pairs[:, 0], baseline.distances) if fresh else None,
        duplicate_rate=float(((others < baseline.twin) | (others == 0)).double().mean()),
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


def _copies(pairs: Tensor, bar: float) -> Tensor:
    """Which rows of distances (N, 2) to the nearest two are those of copies."""
    return (pairs[:, 0] * _CLOSER < pairs[:, 1]) | (pairs[:, 0] < bar) | (pairs[:, 0] == 0)


def _rare(distances: Tensor) -> float:
    """The distance that 999 of 1,000 reach; of fewer than 1,000, the least."""
    return float(distances.sort().values[len(distances) // _RARE])


def _twin_bar(train: ImageData, count: int, seed: int) -> float:
    chosen = torch.randperm(len(train), generator=generator(seed, "twins"))[:count]
    others = _nearest_other(train.fetch(chosen)[0], train)
    return _rare(others) if len(others) else 0.0


def _nearest_other(images: Tensor, like: ImageData) -> Tensor:
    """The distance (N,) of each image to the nearest other; inf for an image alone."""
    if len(images) < 2:
        return torch.full((len(images),), float("inf"))
    # The image itself is among its two nearest, at 0: the second distance is to another, or to a twin.
    return nearest(images, ArrayData("images", "", images, None, like.spec), k=2)[0][:, 1]


def _one_each(features: Tensor, count: int) -> None:
    if len(features) != count:
        raise DataError(f"there are {count} pictures, but features of {len(features)}; give one row for each picture")
