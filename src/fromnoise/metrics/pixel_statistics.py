"""Mean, standard deviation and histogram of grey levels: what a feature network may overlook shows here.

W1 = mean over channels of  sum over levels |F_samples(level) - F_reference(level)|      in grey levels

The Wasserstein-1 distance of two distributions on a line is the area between their distribution functions F (Vallender
1974, https://doi.org/10.1137/1118101).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.data.rows import Pixels
from fromnoise.metrics.checks import parts

_VALUES = 8 << 20  # pixels counted at once
_LEVELS = 256


@dataclass(frozen=True)
class PixelStatistics:
    """Grey levels 0 to 255 of samples and of the reference.

    mean, std: of each channel over all pixels of all images. histogram_distance: grey levels by which pixels have to
    move, on average, for the samples to have the reference's histogram (Wasserstein-1); the mean over channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reference_mean: tuple[float, ...]
    reference_std: tuple[float, ...]
    histogram_distance: float


def pixel_statistics(samples: Tensor, reference: Pixels) -> PixelStatistics:
    """Compare the grey levels of uint8 images (N, C, H, W) and (M, C, H, W), of any sizes; exact, from 256 counts.

    Raises:
        DataError: for images of another kind, no images, or unlike channels.
    """
    ours, theirs = _histogram(samples), _histogram(reference)
    if len(ours) != len(theirs):
        raise DataError(
            f"the samples have {len(ours)} channels and the real images {len(theirs)}; compare images of one kind"
        )
    mean, std = _moments(ours)
    reference_mean, reference_std = _moments(theirs)
    distance = (ours.cumsum(1) - theirs.cumsum(1)).abs().sum(1).mean()
    return PixelStatistics(mean, std, reference_mean, reference_std, float(distance))


def _histogram(images: Pixels) -> Tensor:
    """Share of each grey level in each channel, float64 (C, 256)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or not images.numel():
        given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise DataError(f"the images are {given}, but uint8 (N, C, H, W) with at least one image are needed")
    counts = torch.zeros(images.shape[1], _LEVELS, dtype=torch.int64)
    for part in parts(len(images), _VALUES // images[0].numel()):
        for channel, total in enumerate(counts):
            total += images[part, channel].cpu().flatten().bincount(minlength=_LEVELS)
    return counts.double() / counts[0].sum()


def _moments(histogram: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = torch.arange(_LEVELS, dtype=torch.float64)
    mean = histogram @ levels
    std = (histogram * (levels - mean[:, None]).square()).sum(1).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())
