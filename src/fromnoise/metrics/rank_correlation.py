"""Whether samples have the numbers that they were conditioned on: asked and measured, in ranks.

    measured = regression on features of real images, whose numbers are known
    rank correlation = correlation of the ranks of asked and measured (Spearman 1904)

1 where the measured number grows with the asked one, 0 where it does not care. The regression errs, so read it beside
the same of test images, whose own numbers stand for asked ones.

References: Spearman 1904, The proof and measurement of association between two things, https://doi.org/10.2307/1412159
    Hoerl & Kennard 1970, ridge regression, https://doi.org/10.1080/00401706.1970.10488634
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_FLOOR = 0.1  # of the largest deviation: what real images hardly have is not blown up in samples, which have grain
_VALIDATED = 5  # every fifth image chooses the penalty


@dataclass(frozen=True)
class NumberRegression:
    """A linear map from features to a number, fitted by `fit_numbers`."""

    mean: Tensor
    scale: Tensor
    weights: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """The measured numbers of features (N, dim), float64 (N,)."""
        return _powers((features.double() - self.mean) / self.scale) @ self.weights


def fit_numbers(features: Tensor, numbers: Tensor) -> NumberRegression:
    """Ridge regression of `numbers` (N,), NaN where one is not known, on features (N, dim) and their squares.

    The penalty is the one with the least error on every fifth image, which the others are fitted without.
    """
    known = ~numbers.isnan()
    x, y = features[known].double(), numbers[known].double()
    mean, deviation = x.mean(0), x.std(0, correction=0)
    scale = deviation.clamp(min=max(_FLOOR * float(deviation.max()), 1e-8))
    inputs = _powers((x - mean) / scale)
    apart = torch.arange(len(y)) % _VALIDATED == 0
    part, rest = _moments(inputs[apart], y[apart]), _moments(inputs[~apart], y[~apart])
    errors = {one: part.error(rest.solve(one)) for one in _PENALTIES}
    return NumberRegression(mean, scale, (part + rest).solve(min(errors, key=errors.__getitem__)))


@dataclass(frozen=True)
class _Moments:
    """Sums over images: of products of inputs, of these with the number, of its square, and how many."""

    gram: Tensor
    cross: Tensor
    square: Tensor
    count: int

    def __add__(self, other: _Moments) -> _Moments:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Moments(*(one + another for one, another in pairs))

    def solve(self, penalty: float) -> Tensor:
        """argmin_w of the mean squared error + penalty |w without its first|^2."""
        ridge = penalty * torch.eye(len(self.gram), dtype=self.gram.dtype)
        ridge[0, 0] = 0
        return torch.as_tensor(torch.linalg.solve(self.gram / self.count + ridge, self.cross / self.count))

    def error(self, weights: Tensor) -> float:
        """The sum of squared errors."""
        return float(weights @ self.gram @ weights - 2 * weights @ self.cross + self.square)


def _moments(inputs: Tensor, numbers: Tensor) -> _Moments:
    return _Moments(inputs.T @ inputs, inputs.T @ numbers, numbers.square().sum(), len(numbers))


def rank_correlation(one: Tensor, other: Tensor) -> float | None:
    """Spearman's rank correlation of two (N,), of where both are known; None where either has less than two values."""
    known = ~(one.isnan() | other.isnan())
    ranks = torch.stack([_ranks(one[known].double()), _ranks(other[known].double())])
    if ranks.shape[1] < 2 or bool((ranks.std(1) == 0).any()):
        return None
    return float(torch.corrcoef(ranks)[0, 1])


def _ranks(values: Tensor) -> Tensor:
    """The place of each value in order; equal values share the mean of theirs."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return torch.as_tensor((ends - (counts - 1) / 2)[inverse])


def _powers(standardised: Tensor) -> Tensor:
    """1, the features and their squares."""
    return torch.cat([torch.ones_like(standardised[:, :1]), standardised, standardised.square()], dim=1)
