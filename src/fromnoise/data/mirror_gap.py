"""Whether mirrored images are as good: how far they are from the others, beside the images themselves.

    gap = mean_i min_j |mirror(x_i) - x_j| / mean_i min_j |x_i - x_j| - 1,   j another image of the class of i

CIFAR-10's photographs have 0.00, digits on white paper or on grey 0.5 to 1.1, photographs with a digit on each 0.03.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.data.rows import Pixels

SIDE = 16  # pixels that images are averaged down to: what has a side has it at this size too
_IMAGES, _OTHERS, _PART = 512, 2048, 256


class Averaged(NamedTuple):
    """Images averaged down: their places (n,) among all, and float32 (n, C, h, w) of at most SIDE pixels a side."""

    places: Tensor
    small: Tensor


def gap_of_mirrored(averaged: Averaged, labels: Tensor | None) -> float | None:
    """The gap for up to 512 images among up to 2,048; None where no image has another of its class.

    labels: classes (N,) of all images, or None.
    """
    chosen, small = averaged
    asked = spread(len(small), _IMAGES)
    apart = torch.eye(len(small), dtype=torch.bool)[asked]
    if labels is not None:
        classes = labels.cpu()[chosen]
        apart = apart | (classes[asked][:, None] != classes[None])

    def nearest(some: Tensor) -> Tensor:
        return torch.cdist(some.flatten(1), small.flatten(1)).masked_fill(apart, float("inf")).min(1).values

    plain, mirrored = nearest(small[asked]), nearest(small[asked].flip(-1))
    known = plain.isfinite()
    mean = float(plain[known].mean()) if bool(known.any()) else 0.0
    return float(mirrored[known].mean()) / mean - 1 if mean else None


def averaged_down(images: Pixels) -> Averaged:
    """Up to 2,048 of `images`, uint8 (N, C, H, W), evenly spread."""
    chosen = spread(len(images), _OTHERS)
    size = (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))
    parts = [F.adaptive_avg_pool2d(images[part].float().cpu(), size) for part in chosen.split(_PART)]
    return Averaged(chosen, torch.cat(parts))


def spread(total: int, most: int) -> Tensor:
    """Up to `most` places below `total`, evenly spread: images of folders lie there class by class."""
    count = min(total, most)
    return torch.arange(count) * total // count
