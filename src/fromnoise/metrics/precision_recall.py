"""Are samples where real pictures are, and are they everywhere there? Balls around each, up to its k-th neighbour.

precision   share of samples inside a real ball
recall      share of real pictures inside a sample's ball
density     real balls that a sample lies in, over k, on average
coverage    share of real balls with a sample inside

Kynkaanniemi et al. 2019; Naeem et al. 2020. |a - b|^2 / 2 = |a|^2 / 2 + |b|^2 / 2 - a.b, centred and in float64, or
near pictures far from the origin would cancel. A picture on the rim of a ball is outside: so it is wherever
rounding falls, as when samples are copies of real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.metrics.checks import alike, checked, parts

_VALUES = 4 << 20  # float64 values in one block of distances: 32 MB
_RIM = 1e-12  # of the squares that a distance is the difference of: a thousand roundings


@dataclass(frozen=True)
class Manifold:
    """precision, recall, coverage: 0..1. density: 0 or more, about 1 for pictures like the real ones."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(reference: Tensor, samples: Tensor, k: int = 5) -> Manifold:
    """The Manifold of float features `samples` (M, d) against `reference` (N, d), by their k-th neighbours.

    Memory: float64 copies of both and about 100 MB. All four grow or shrink with N and M: compare equal numbers.
    Raises DataError for k or fewer rows on a side, values that are not finite, or unlike dimensions.
    """
    reference, samples = checked(reference, k + 1), checked(samples, k + 1)
    alike(reference.shape[1], samples.shape[1])
    centre = reference.double().mean(0)
    real, fake = reference.double() - centre, samples.double() - centre
    real_half, fake_half = real.square().sum(1) / 2, fake.square().sum(1) / 2
    real_reach, fake_reach = _reach(real, real_half, k), _reach(fake, fake_half, k)
    held = torch.zeros(len(fake), dtype=torch.bool)
    balls = recalled = covered = 0
    for part in parts(len(real), _VALUES // len(fake)):
        distances = torch.addmm(fake_half, real[part], fake.T, alpha=-1).add_(real_half[part, None])
        inside = distances < real_reach[part, None]
        held |= inside.any(0)
        balls += int(inside.sum())
        covered += int(inside.any(1).sum())
        recalled += int((distances < fake_reach).any(1).sum())
    return Manifold(
        precision=float(held.double().mean()),
        recall=recalled / len(real),
        density=balls / (k * len(fake)),
        coverage=covered / len(real),
    )


def _reach(rows: Tensor, half: Tensor, k: int) -> Tensor:
    """Half the squared distance (N,) to the k-th nearest other row, less the rim."""
    reach = torch.empty_like(half)
    for part in parts(len(rows), _VALUES // len(rows)):
        scores = torch.addmm(half, rows[part], rows.T, alpha=-1)
        reach[part] = scores.topk(k + 1, dim=1, largest=False).values[:, k] + half[part]  # the row itself comes first
    return reach - _RIM * (half + reach)
