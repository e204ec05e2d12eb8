"""Whether samples have the numbers that they were conditioned on, beside how well these can be measured at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.reference import Reference
from fromnoise.evaluation.samples import SampleSet
from fromnoise.metrics.rank_correlation import fit_numbers, rank_correlation

_FITTED, _TESTED = 10_000, 2_000  # images at most


def measure_conditions(
    samples: SampleSet, embedded: Tensor, reference: Reference, test: ArrayData | None
) -> Mapping[str, Any] | None:
    """name -> {"samples", "test"}: the rank correlation of asked and measured numbers; None without conditions.

    Measured by a regression on features and principal components of the pixels, fitted on training images. "test" is
    the same with test images and their own numbers, None where there are none with numbers.

    Arguments:
        embedded: the samples' features.
    """
    train = reference.data
    if not samples.conditions or train.conditions is None:
        return None
    chosen = _some(train, _FITTED)
    parts = reference.embedded[chosen], reference.pixels.of(train.images[chosen])
    units = [float(part.std(0).max()) or 1.0 for part in parts]  # of either space, so that both count alike
    real = _together(parts, units)
    made = _together((embedded, reference.pixels.of(samples.images)), units)
    unseen = None if test is None or test.conditions is None else test.subset(_some(test, _TESTED))
    spaces = (reference.features, reference.pixels)
    theirs = None if unseen is None else _together([space.of(unseen.images) for space in spaces], units)
    found: dict[str, Any] = {}
    for place, one in enumerate(train.spec.conditions):
        regression = fit_numbers(real, train.conditions[chosen, place].cpu())
        asked = samples.conditions[one.name]
        own = None
        if theirs is not None and unseen is not None and unseen.conditions is not None:
            own = rank_correlation(unseen.conditions[:, place].cpu(), regression(theirs))
        found[one.name] = {"samples": rank_correlation(asked, regression(made)), "test": own}
    return found


def _together(parts: Sequence[Tensor], units: Sequence[float]) -> Tensor:
    """Both spaces side by side, each divided by its unit."""
    return torch.cat([part / unit for part, unit in zip(parts, units, strict=True)], dim=1)


def _some(data: ArrayData, most: int) -> Tensor:
    """Up to `most` images, always the same, int64 (n,)."""
    return torch.randperm(len(data), generator=generator(0, "images with conditions"))[:most]
