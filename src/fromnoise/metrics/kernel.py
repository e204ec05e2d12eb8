"""The kernel distance (KID): how far apart two sets of features are, without taking them for Gaussians.

KID = E k(x, x') + E k(y, y') - 2 E k(x, y)     k(x, y) = (x.y / d + 1)^3

Binkowski et al. 2018. The estimate is unbiased: it means the same at any number of pictures, and for two sets of one
kind it scatters around 0, also below. Here it is taken over all pairs at once, which scatters less than the usual
mean over subsets; its standard error is a jackknife that leaves out one group of rows after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.metrics.rows import alike, checked
from fromnoise.seeds import generator

_GROUPS = 20


@dataclass(frozen=True)
class KernelDistance:
    """value, and its standard error over sets of as many pictures."""

    value: float
    stderr: float


def kernel_distance(features: Tensor, reference: Tensor, *, most: int = 10_000, seed: int = 0) -> KernelDistance:
    """KID of float features (N, d) and (M, d), over all pairs of up to `most` rows of each.

    stderr^2 = (g - 1) / g * sum over the g = 20 groups of (estimate without the group - their mean)^2; on two sets of
    one kind it comes out too large, by up to two thirds. Raises DataError for fewer than 4 rows on a side, values that
    are not finite, or unlike dimensions.
    """
    x, y = _some(checked(features, 4), most, seed, 0), _some(checked(reference, 4), most, seed, 1)
    alike(x.shape[1], y.shape[1])
    groups = min(_GROUPS, len(x) // 2, len(y) // 2)
    sums = _sums(x, x, groups), _sums(y, y, groups), _sums(x, y, groups)
    sizes = _sizes(len(x), groups), _sizes(len(y), groups)
    everything = torch.ones(groups, dtype=torch.float64)
    without = torch.stack([_estimate(sums, sizes, everything.index_fill(0, torch.tensor(g), 0)) for g in range(groups)])
    spread = (without - without.mean()).square().sum() * (groups - 1) / groups
    return KernelDistance(float(_estimate(sums, sizes, everything)), float(spread.sqrt()))


def _some(rows: Tensor, most: int, seed: int, side: int) -> Tensor:
    """Up to `most` rows in an order of their own, float64: groups of neighbours must not share a class."""
    return rows[torch.randperm(len(rows), generator=generator(seed, "kernel", side))[:most]].double()


def _sizes(count: int, groups: int) -> Tensor:
    return torch.tensor([len(part) for part in torch.arange(count).tensor_split(groups)], dtype=torch.float64)


def _sums(a: Tensor, b: Tensor, groups: int) -> Tensor:
    """The kernel summed over pairs of groups, float64 (groups, groups); of a set with itself, without the diagonal."""
    heads, of_b = a.tensor_split(groups), torch.arange(groups).repeat_interleave(_sizes(len(b), groups).long())
    empty = torch.zeros(groups, dtype=torch.float64)
    sums = torch.stack([empty.index_add(0, of_b, _kernel(head, b).sum(0)) for head in heads])
    if a is b:
        sums -= torch.diag(torch.stack([((head.square().sum(1) / a.shape[1] + 1) ** 3).sum() for head in heads]))
    return sums


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    base = (x @ y.T).div_(x.shape[1]).add_(1)
    return base.square().mul_(base)


def _estimate(sums: tuple[Tensor, Tensor, Tensor], sizes: tuple[Tensor, Tensor], kept: Tensor) -> Tensor:
    """The unbiased estimate over the groups where `kept` (groups,) is 1."""
    xx, yy, xy = (kept @ part @ kept for part in sums)
    n, m = (kept @ size for size in sizes)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
