"""Kernel distance (KID): squared maximum mean discrepancy (MMD) with a cubic kernel between two sets of features.

KID = E k(x, x') + E k(y, y') - 2 E k(x, y)     k(x, y) = (x.y / d + 1)^3

Binkowski et al. 2018, https://arxiv.org/abs/1801.01401. The estimate is unbiased: its expectation is the same at any
number of samples, and for two sets of one distribution it scatters around 0, also below. Here it is taken over all
pairs at once, which scatters less than the usual mean over subsets; its standard error is a grouped jackknife.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.metrics.checks import alike, checked

_GROUPS = 20


@dataclass(frozen=True)
class KernelDistance:
    """value, and its standard error over sets of equally many images."""

    value: float
    stderr: float


def kernel_distance(features: Tensor, reference: Tensor, *, most: int = 10_000, seed: int = 0) -> KernelDistance:
    """KID of two sets of features, over all pairs.

    stderr^2 = (g - 1) / g * sum over the g = 20 groups of (estimate without the group - their mean)^2, which is up to
    two thirds too large where both sets have one distribution.

    Arguments:
        features: float (N, d).
        reference: float (M, d).
        most: rows of each side that count; of more, a random part is taken.

    Raises:
        DataError: for fewer than 4 rows on a side, values that are not finite, or unlike dimensions.

    References:
        Binkowski et al. 2018, https://arxiv.org/abs/1801.01401; Efron & Stein 1981, for the jackknife
    """
    x, y = _some(checked(features, 4), most, seed, 0), _some(checked(reference, 4), most, seed, 1)
    alike(x.shape[1], y.shape[1])
    groups = min(_GROUPS, len(x) // 2, len(y) // 2)
    pair = _Pair(x, y, groups)
    everything = torch.ones(groups, dtype=torch.float64)
    without = torch.stack([pair.estimate(kept, kept) for kept in _each_left_out(groups)])
    return KernelDistance(float(pair.estimate(everything, everything)), _jackknife(without))


def kernel_difference(first: Tensor, second: Tensor, reference: Tensor) -> KernelDistance:
    """KID of `first` minus KID of `second`, float features (N, d) each, to one `reference` (M, d).

    Row i of both comes from the same noise, and the jackknife leaves out the same rows of both, so the difference has a
    far smaller standard error than either. Raises what `kernel_distance` raises.
    """
    x1, x2, y = (checked(rows, 4).double() for rows in (first, second, reference))
    alike(x1.shape[1], y.shape[1])
    groups = min(_GROUPS, len(x1) // 2, len(y) // 2)
    pairs = _Pair(x1, y, groups), _Pair(x2, y, groups)
    everything = torch.ones(groups, dtype=torch.float64)

    def difference(kept: Tensor) -> Tensor:
        return pairs[0].estimate(kept, everything) - pairs[1].estimate(kept, everything)

    without = torch.stack([difference(kept) for kept in _each_left_out(groups)])
    return KernelDistance(float(difference(everything)), _jackknife(without))


def _each_left_out(groups: int) -> Tensor:
    """float64 (groups, groups): row g keeps every group but g."""
    return 1 - torch.eye(groups, dtype=torch.float64)


def _jackknife(without: Tensor) -> float:
    """The standard error from the estimates (groups,) that each lack a group."""
    groups = len(without)
    return float(((without - without.mean()).square().sum() * (groups - 1) / groups).sqrt())


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


class _Pair:
    """Kernel sums of x (N, d) and y (M, d) by groups, from which the estimate over any of the groups follows."""

    def __init__(self, x: Tensor, y: Tensor, groups: int) -> None:
        self.sums = _sums(x, x, groups), _sums(y, y, groups), _sums(x, y, groups)
        self.sizes = _sizes(len(x), groups), _sizes(len(y), groups)

    def estimate(self, of_x: Tensor, of_y: Tensor) -> Tensor:
        """The unbiased estimate over the groups where of_x, of_y (groups,) are 1."""
        xx, yy, xy = self.sums
        n, m = of_x @ self.sizes[0], of_y @ self.sizes[1]
        within = of_x @ xx @ of_x / (n * (n - 1)) + of_y @ yy @ of_y / (m * (m - 1))
        return within - 2 * (of_x @ xy @ of_y) / (n * m)
