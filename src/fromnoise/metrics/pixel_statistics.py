"""Grey levels alone: are the samples as bright, as varied and as black and white as the real pictures?

What a network of features may not care for, such as a grey background, shows here at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.metrics.checks import parts

_VALUES = 8 << 20  # pixels counted at once
_LEVELS = 256


@dataclass(frozen=True)
class Colour:
    """mean, std: of each channel over all pixels of all pictures, in grey levels 0..255; and of the reference.

    histogram_distance: grey levels by which pixels would have to move, on average, for the samples to have the
    reference's histogram (Wasserstein-1); the mean over channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reference_mean: tuple[float, ...]
    reference_std: tuple[float, ...]
    histogram_distance: float


def colour(samples: Tensor, reference: Tensor) -> Colour:
    """The Colour of uint8 images (N, C, H, W) and (M, C, H, W), of any sizes; exact, from the 256 counts.

    Raises DataError for images of another kind, none at all, or unlike channels.
    """
    ours, theirs = _histogram(samples), _histogram(reference)
    if len(ours) != len(theirs):
        raise DataError(
            f"the samples have {len(ours)} channels and the real pictures {len(theirs)}; compare pictures of one kind"
        )
    mean, std = _moments(ours)
    reference_mean, reference_std = _moments(theirs)
    distance = (ours.cumsum(1) - theirs.cumsum(1)).abs().sum(1).mean()
    return Colour(mean, std, reference_mean, reference_std, float(distance))


def _histogram(images: Tensor) -> Tensor:
    """Share of each grey level in each channel, float64 (C, 256)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or not images.numel():
        given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise DataError(f"the pictures are {given}, but uint8 (N, C, H, W) with at least one picture are needed")
    counts = torch.zeros(images.shape[1], _LEVELS, dtype=torch.int64)
    for part in parts(len(images), _VALUES // images[0].numel()):
        for channel, total in enumerate(counts):
            total += images[part, channel].cpu().flatten().bincount(minlength=_LEVELS)
    return counts.double() / counts[0].sum()


def _moments(histogram: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = torch.arange(_LEVELS, dtype=torch.float64)
    mean = histogram @ levels
    spread = (histogram * (levels - mean[:, None]).square()).sum(1).sqrt()
    return tuple(mean.tolist()), tuple(spread.tolist())
