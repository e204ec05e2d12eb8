"""Every measure of one set of pictures against the real ones, in one pass.

The pictures may be samples, or real images themselves: the rows that a figure is read beside come from the very
same function.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.class_accuracy import class_accuracy
from fromnoise.metrics.classifier import Classifier
from fromnoise.metrics.features import Features
from fromnoise.metrics.frechet import Statistics, frechet_distance, frechet_infinite, frechet_interval, statistics
from fromnoise.metrics.kid import kernel_distance
from fromnoise.metrics.memorization import Baseline, Memorization, memorization
from fromnoise.metrics.pixel_statistics import pixel_statistics
from fromnoise.metrics.precision_recall import precision_recall


class Reference:
    """The real images `data` in a space of features and in one of pixels; each is worked out once, when needed.

    classifier: of the images' classes, None where they have none.
    """

    def __init__(self, data: ArrayData, features: Features, pixels: Features, classifier: Classifier | None) -> None:
        self.data, self.features, self.pixels, self.classifier = data, features, pixels, classifier

    @cached_property
    def embedded(self) -> Tensor:
        """The images' features, float32 (N, dim)."""
        return self.features.of(self.data.images)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and covariance of the features."""
        return statistics(self.embedded)

    @cached_property
    def pixel_statistics(self) -> Statistics:
        """The same of the pixels' components."""
        return statistics(self.pixels.of(self.data.images))

    def some(self, count: int) -> Tensor:
        """The features of up to `count` images, always the same ones: precision to coverage want equal numbers."""
        if count >= len(self.data):
            return self.embedded
        return self.embedded[torch.randperm(len(self.data), generator=generator(0, "some real images"))[:count]]

    def part(self, indices: Tensor) -> Reference:
        """The reference that holds only the images at `indices`, without embedding them again."""
        part = Reference(subset(self.data, indices), self.features, self.pixels, self.classifier)
        part.__dict__["embedded"] = self.embedded[indices]
        return part


@dataclass(frozen=True)
class Quick:
    """The few measures that are cheap enough to take often."""

    frechet_distance: float
    kid: float
    kid_stderr: float
    class_accuracy: float | None


def quick(images: Tensor, labels: Tensor | None, reference: Reference) -> Quick:
    """Frechet distance, KID and label agreement of uint8 images (N, C, H, W) with labels (N,) or None."""
    embedded = reference.features.of(images)
    kernel = kernel_distance(embedded, reference.embedded)
    taken = class_accuracy(reference.classifier, images, labels).accuracy if reference.classifier else None
    return Quick(frechet_distance(statistics(embedded), reference.statistics), kernel.value, kernel.stderr, taken)


def subset(data: ArrayData, indices: Tensor) -> ArrayData:
    """The images at `indices` (N,) alone."""
    images, labels = data.fetch(indices)
    return ArrayData(data.name, data.split, images, labels, data.spec)


@dataclass(frozen=True)
class Scores:
    """What is measured; shares are 0..1, grey levels 0..255, None where there is nothing to measure it by.

    frechet_distance, with its bootstrap interval and what it would fall to with endless pictures; kid +- kid_stderr;
    precision and density: are the pictures like real ones? recall and coverage: are all kinds of them there?
    class_accuracy: taken for the class they were made for. classes: share taken for each class.
    frechet_pixels: in the pixels' components. mean, std: of each channel. histogram_distance: grey levels by which
    brightness is off. copy_rate(_features), copy_z, duplicate_rate: see `fromnoise.metrics.memorization`.
    """

    count: int
    frechet_distance: float
    frechet_interval: tuple[float, float]
    frechet_infinite: float
    kid: float
    kid_stderr: float
    precision: float
    recall: float
    density: float
    coverage: float
    class_accuracy: float | None
    classes: tuple[float, ...]
    frechet_pixels: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    histogram_distance: float
    copy_rate: float | None
    copy_rate_features: float | None
    copy_z: float | None
    duplicate_rate: float

    def to_json(self) -> dict[str, Any]:
        """A plain dict, the inverse of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Scores:
        """The Scores that `to_json` described; ValueError where a part is missing or no number."""
        fields = {
            ("class_accuracy" if name == "label_agreement" else name): v for name, v in fields.items()
        }  # schema 1
        if missing := [name for name in Scores.__dataclass_fields__ if name not in fields]:
            raise ValueError(f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} missing")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
        for key, value in values.items():
            parts = value if isinstance(value, tuple) else (value,)
            if not all(part is None or isinstance(part, int | float) for part in parts):
                raise ValueError(f"{key} is {value!r}")
        return Scores(**values)


def score(
    images: Tensor,
    labels: Tensor | None,
    embedded: Tensor,
    reference: Reference,
    usual: Baseline,
    searched: int | None = None,
) -> tuple[Scores, Memorization]:
    """The Scores of uint8 images (N, C, H, W) with labels (N,) or None, and their nearest training images.

    embedded: their features (N, dim), which some networks take hours for. usual: what is usual among real images, for
    as many as are searched for copies: the first `searched`, or all N. Raises DataError for pictures of another shape
    or kind.
    """
    checked_pictures(images, reference.data)
    found = statistics(embedded)
    kernel = kernel_distance(embedded, reference.embedded)
    shape = precision_recall(reference.some(len(images)), embedded)
    shades = pixel_statistics(images, reference.data.images)
    copies = memorization(images[:searched], reference.data, embedded[:searched], reference.embedded, usual)
    taken = class_accuracy(reference.classifier, images, labels) if reference.classifier else None
    return Scores(
        count=len(images),
        frechet_distance=frechet_distance(found, reference.statistics),
        frechet_interval=frechet_interval(embedded, reference.statistics),
        frechet_infinite=frechet_infinite(embedded, reference.statistics),
        kid=kernel.value,
        kid_stderr=kernel.stderr,
        precision=shape.precision,
        recall=shape.recall,
        density=shape.density,
        coverage=shape.coverage,
        class_accuracy=taken.accuracy if taken else None,
        classes=taken.histogram if taken else (),
        frechet_pixels=frechet_distance(statistics(reference.pixels.of(images)), reference.pixel_statistics),
        mean=shades.mean,
        std=shades.std,
        histogram_distance=shades.histogram_distance,
        copy_rate=copies.copy_rate,
        copy_rate_features=copies.copy_rate_features,
        copy_z=copies.z,
        duplicate_rate=copies.duplicate_rate,
    ), copies


def checked_pictures(images: Tensor, data: ArrayData) -> None:
    """DataError unless `images` are of the shape of `data`."""
    if tuple(images.shape[1:]) != data.spec.shape:
        channels, height, width = images.shape[1:]
        raise DataError(
            f"the pictures are {height}x{width} with {channels} channels, but {data.name} is {data.spec.height}x"
            f"{data.spec.width} with {data.spec.channels}; bring both to one shape, such as with --resolution"
        )
