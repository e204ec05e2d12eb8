"""The real images that samples are compared with, embedded once in each feature space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor

from fromnoise.common.errors import choose
from fromnoise.common.progress import report_progress
from fromnoise.common.seeds import generator
from fromnoise.data import cache_dir
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.metrics.classifier import Classifier
from fromnoise.metrics.features import Features, classifiable, domain, pixels
from fromnoise.metrics.frechet import Statistics, statistics
from fromnoise.metrics.spectrum import octave_power
from fromnoise.model.shares import in_shares, shared

_SPECTRUM = 10_000  # images that suffice for the power of octaves, by a hundredth of a dB
_BLOCK = 1024  # images: a multiple of what each feature space takes at once, so that shares change no bit


def embed(features: Features, images: Pixels) -> Tensor:
    """The features of uint8 images (N, C, H, W), float32 (N, dim); inside `sharing` each process embeds some."""
    if shared().world == 1:
        return features.of(images)
    parts = [slice(begin, begin + _BLOCK) for begin in range(0, len(images), _BLOCK)]
    return torch.cat(list(in_shares(lambda part: features.of(images[part]), parts)))


class Reference:
    """The real images `data` in a feature space and in that of pixels; each is computed once, when it is needed.

    classifier: of the images' classes, None where they have none. mirrored: whether mirror images of them count too.
    """

    def __init__(
        self,
        data: ArrayData,
        features: Features,
        pixels: Features,
        classifier: Classifier | None,
        mirrored: bool = False,
    ) -> None:
        self.data, self.features, self.pixels, self.classifier = data, features, pixels, classifier
        self.mirrored = mirrored

    @cached_property
    def embedded(self) -> Tensor:
        """The images' features, float32 (N, dim)."""
        return self.features.of(self.data.images)

    def embed_in_shares(self) -> None:
        """Compute `embedded` now, each process of the group that shares this work a part of it."""
        self.__dict__["embedded"] = embed(self.features, self.data.images)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and covariance of the features."""
        return statistics(self.embedded)

    @cached_property
    def pixel_statistics(self) -> Statistics:
        """Mean and covariance of the pixels' principal components."""
        return statistics(self.pixels.of(self.data.images))

    @cached_property
    def octave_power(self) -> Tensor:
        """Power of each octave of up to 10,000 of the images, always the same ones."""
        if len(self.data) <= _SPECTRUM:
            return octave_power(self.data.images)
        chosen = torch.randperm(len(self.data), generator=generator(0, "images for the spectrum"))[:_SPECTRUM]
        return octave_power(self.data.fetch(chosen.sort().values)[0])

    def random_part(self, count: int) -> Tensor:
        """The features of up to `count` images, always the same: precision to coverage compare equal numbers."""
        if count >= len(self.data):
            return self.embedded
        return self.embedded[torch.randperm(len(self.data), generator=generator(0, "some real images"))[:count]]

    def subset(self, indices: Tensor) -> Reference:
        """The reference that holds only the images at `indices`, without embedding them again."""
        part = Reference(self.data.subset(indices), self.features, self.pixels, self.classifier, self.mirrored)
        part.__dict__["embedded"] = self.embedded[indices]
        return part


def build_reference(
    train: ArrayData, features: str = "auto", feature_weights: str | Path | None = None, mirrored: bool = False
) -> Reference:
    """The real images in the space that `features` names.

    Arguments:
        features: auto (domain), domain, pixels, inception or dinov2.
        feature_weights: weights of the last two, instead of a download.
        mirrored: whether mirror images of `train` count as copies of it.

    Raises:
        UsageError: for an unknown name.
    """

    @cache
    def dataset_classifier() -> Features:
        report_progress(f"features: a classifier of {train.name}, trained once for these images and kept ...")
        return domain(train, cache_dir() / "classifiers")

    def inception() -> Features:
        from fromnoise.metrics import inception  # what it needs is not installed everywhere

        return inception.inception(feature_weights)

    def dinov2() -> Features:
        from fromnoise.metrics import dinov2

        return dinov2.dinov2(feature_weights)

    spaces: dict[str, Callable[[], Features]]
    spaces = {"auto": dataset_classifier, "domain": dataset_classifier, "pixels": lambda: pixels(train)}
    spaces |= {"inception": inception, "dinov2": dinov2}
    space = choose("features", features, spaces)()
    # Without classes it would know none, and be trained for nothing where another space is measured in.
    classifier = dataset_classifier().classifier if classifiable(train) else None
    return Reference(train, space, pixels(train), classifier, mirrored)
