"""How easily classes are distinguished by a look: how often an image's nearest other one is of its own class.

    agreement = (a - e) / (1 - e),   a = mean_i [class(argmin_j |x_i - x_j|) = class(i)],   e = sum_c share_c^2

j is another image than i, and e what chance has: 0 where nearest images are of any class, 1 where they are of the same.
CIFAR-10's photographs have 0.15, as animals and vehicles 0.5, crops of 22 photographs 0.84, MNIST 0.90, digits 0.99.

References: Cohen 1960, a coefficient of agreement for nominal scales, https://doi.org/10.1177/001316446002000104
"""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.data.mirror_gap import Averaged, spread

_IMAGES = 512


def agreement_of_classes(averaged: Averaged, labels: Tensor | None) -> float | None:
    """The agreement of up to 512 images with up to 2,048, at most 1; None where there are not two classes.

    labels: classes (N,) of all images, or None.
    """
    if labels is None:
        return None
    chosen, small = averaged
    asked, flat = spread(len(small), _IMAGES), small.flatten(1)
    distances = torch.cdist(flat[asked], flat)
    distances[torch.arange(len(asked)), asked] = float("inf")
    classes = labels.cpu()[chosen]
    chance = float((classes.bincount() / len(classes)).square().sum())
    agreed = float((classes[distances.argmin(1)] == classes[asked]).float().mean())
    return (agreed - chance) / (1 - chance) if chance < 1 else None
