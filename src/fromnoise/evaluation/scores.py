"""All metrics of one set of images against the real ones, in one pass.

The images may be samples, or real images themselves: the reference rows come from the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.evaluation.reference import Reference
from fromnoise.metrics.class_accuracy import class_accuracy
from fromnoise.metrics.frechet import frechet_distance, frechet_infinite, frechet_interval, statistics
from fromnoise.metrics.kid import kernel_distance
from fromnoise.metrics.memorization import Baseline, Memorization, memorization
from fromnoise.metrics.pixel_statistics import pixel_statistics
from fromnoise.metrics.precision_recall import precision_recall
from fromnoise.metrics.spectrum import octave_power, spectrum_distance


@dataclass(frozen=True)
class QuickScores:
    """The few metrics that are cheap enough to measure often."""

    frechet_distance: float
    kid: float
    kid_stderr: float
    class_accuracy: float | None


def quick_scores(images: Tensor, labels: Tensor | None, reference: Reference) -> QuickScores:
    """Fréchet distance, KID and class accuracy of uint8 images (N, C, H, W) with labels (N,) or None."""
    embedded = reference.features.of(images)
    kid = kernel_distance(embedded, reference.embedded)
    classified = class_accuracy(reference.classifier, images, labels).accuracy if reference.classifier else None
    return QuickScores(frechet_distance(statistics(embedded), reference.statistics), kid.value, kid.stderr, classified)


@dataclass(frozen=True)
class Scores:
    """The metrics of one set of images; shares are 0 to 1, grey levels 0 to 255, None where one cannot be measured.

    frechet_distance with its bootstrap interval; frechet_infinite +- frechet_infinite_stderr: FD∞, its limit for
    infinitely many samples, None for too few to extrapolate from. kid +- kid_stderr. precision and density: fidelity;
    recall and coverage: diversity. class_accuracy: share that a classifier of the real images assigns to the class that
    it was conditioned on; classes: share assigned to each class. frechet_pixels: FD in principal components of the
    pixels. mean, std: of each channel; histogram_distance: grey levels by which the histogram is off.
    spectrum(_colour): dB by which the power of each octave is off, the coarsest first; spectrum_deviation: the largest
    of them by size; grain: that of the finest octave.
    copy_rate(_features), copy_z, duplicate_rate: see `fromnoise.metrics.memorization`.
    """

    count: int
    frechet_distance: float
    frechet_interval: tuple[float, float]
    frechet_infinite: float | None
    frechet_infinite_stderr: float | None
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
    spectrum: tuple[float, ...] = ()  # this and what follows: evaluations from before it was measured have none
    spectrum_colour: tuple[float, ...] = ()
    spectrum_deviation: float | None = None
    grain: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dict, the inverse of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Scores:
        """The inverse of `to_json`; ValueError where a part is missing or not a number."""
        fields = {"frechet_infinite_stderr": None, **renamed(fields)}  # which earlier evaluations lack
        if missing := [name for name in Scores.__dataclass_fields__ if name not in fields and name not in _LATER]:
            raise ValueError(f"{', '.join(missing[:3])} {'is' if len(missing) == 1 else 'are'} missing")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
        for key, value in values.items():
            parts = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) != (key in _SEVERAL) or (key == "frechet_interval" and len(parts) != 2):
                raise ValueError(f"{key} is {value!r}")
            if not all(is_number(part) or (part is None and key in _OPTIONAL) for part in parts):
                raise ValueError(f"{key} is {value!r}")
        return Scores(**values)


def renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of schema 1 with the names of today."""
    return {("class_accuracy" if name == "label_agreement" else name): value for name, value in fields.items()}


_SEVERAL = {"frechet_interval", "classes", "mean", "std", "spectrum", "spectrum_colour"}
_LATER = {"spectrum", "spectrum_colour", "spectrum_deviation", "grain"}
_OPTIONAL = {
    *("frechet_infinite", "frechet_infinite_stderr", "class_accuracy", "classes"),
    *("copy_rate", "copy_rate_features", "copy_z", "spectrum_deviation", "grain"),
}


def is_number(value: object) -> bool:
    """Whether a value read from a file is a number that can be computed with and printed."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def score(
    images: Tensor,
    labels: Tensor | None,
    embedded: Tensor,
    reference: Reference,
    baseline: Baseline,
    searched: int | None = None,
) -> tuple[Scores, Memorization]:
    """Measure images against the real ones; returns the scores and the nearest training images.

    Arguments:
        images: uint8 (N, C, H, W), with labels (N,) or None.
        embedded: their features (N, dim), which some networks take hours for.
        baseline: of real images, for as many as are searched for copies.
        searched: search only the first so many for copies; all if not given.

    Raises:
        DataError: for images of another shape or kind.
    """
    check_shape(images, reference.data)
    kid = kernel_distance(embedded, reference.embedded)
    shares = precision_recall(reference.random_part(len(images)), embedded)
    levels = pixel_statistics(images, reference.data.images)
    spectrum = spectrum_distance(octave_power(images), reference.octave_power)
    copies = memorization(images[:searched], reference.data, embedded[:searched], reference.embedded, baseline)
    classified = class_accuracy(reference.classifier, images, labels) if reference.classifier else None
    return Scores(
        count=len(images),
        **_frechet(embedded, reference),
        kid=kid.value,
        kid_stderr=kid.stderr,
        **asdict(shares),
        class_accuracy=classified.accuracy if classified else None,
        classes=classified.histogram if classified else (),
        frechet_pixels=frechet_distance(statistics(reference.pixels.of(images)), reference.pixel_statistics),
        mean=levels.mean,
        std=levels.std,
        histogram_distance=levels.histogram_distance,
        copy_rate=copies.copy_rate,
        copy_rate_features=copies.copy_rate_features,
        copy_z=copies.z,
        duplicate_rate=copies.duplicate_rate,
        spectrum=spectrum.lightness,
        spectrum_colour=spectrum.colour,
        spectrum_deviation=spectrum.deviation,
        grain=spectrum.grain,
    ), copies


def _frechet(embedded: Tensor, reference: Reference) -> dict[str, Any]:
    """The Fréchet distance in the features, its interval and its limit for many samples."""
    limit = frechet_infinite(embedded, reference.statistics)
    return {
        "frechet_distance": frechet_distance(statistics(embedded), reference.statistics),
        "frechet_interval": frechet_interval(embedded, reference.statistics),
        "frechet_infinite": limit.value if limit else None,
        "frechet_infinite_stderr": limit.stderr if limit else None,
    }


def check_shape(images: Pixels, data: ArrayData) -> None:
    """DataError unless `images` are of the shape of `data`."""
    if tuple(images.shape[1:]) != data.spec.shape:
        channels, height, width = images.shape[1:]
        raise DataError(
            f"the samples are {height}x{width} with {channels} channels, but {data.name} is {data.spec.height}x"
            f"{data.spec.width} with {data.spec.channels}; read both with the same resolution and channels"
        )
