"""Precision, recall, density and coverage: balls around each image, with its k-th nearest neighbour on the rim.

precision   share of samples inside the ball of a real image
recall      share of real images inside the ball of a sample
density     real balls that a sample lies in, divided by k, on average
coverage    share of real balls with a sample inside

Precision and recall: Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991. Density and coverage: Naeem et al.
2020, https://arxiv.org/abs/2002.09797. |a - b|^2 / 2 = |a|^2 / 2 + |b|^2 / 2 - a.b, centred and in float64, because
near rows far from the origin would cancel. A row on the rim of a ball counts as outside, whichever way it is rounded,
as where samples are copies of real images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.metrics.checks import alike, checked, parts

_VALUES = 4 << 20  # float64 values in one block of distances: 32 MB
_RIM = 1e-12  # of the squares that a distance is the difference of: a thousand roundings


@dataclass(frozen=True)
class PrecisionRecall:
    """precision, recall, coverage: 0 to 1. density: 0 or more, about 1 for samples of the real distribution."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(reference: Tensor, samples: Tensor, k: int = 5) -> PrecisionRecall:
    """Precision, recall, density and coverage of `samples`; all four depend on N and M, so compare equal numbers.

    Arguments:
        reference: float features of real images (N, d).
        samples: float features (M, d). Memory: float64 copies of both and about 100 MB.
        k: the neighbour that lies on the rim of a ball.

    Raises:
        DataError: for k or fewer rows on a side, values that are not finite, or unlike dimensions.

    References:
        Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991; Naeem et al. 2020, https://arxiv.org/abs/2002.09797
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
    return PrecisionRecall(
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
