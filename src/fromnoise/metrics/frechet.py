"""Fréchet distance (FD) between two sets of features, each approximated by a Gaussian.

FD = |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)

Dowson & Landau 1982, https://doi.org/10.1016/0047-259X(82)90077-X; as FID, with the features of an Inception network,
Heusel et al. 2017, https://arxiv.org/abs/1706.08500. It is biased: n samples give a distance that is too large by
about a / n (Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023). The root in the middle is that of a symmetric
matrix, so its trace is the sum of the roots of its eigenvalues, also where a covariance is rank-deficient.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.files import write_bytes
from fromnoise.common.seeds import generator
from fromnoise.metrics.checks import alike, checked, parts

_CHUNK = 4096  # rows in float64 at once: 64 MB of 2048 features
_FEWEST = 20  # resampled sets, whatever they cost
_WORK = 2e12  # multiplications that all resampling may cost: a minute or so
_PER_DIMENSION, _PER_FILLED = 4, 8  # images for each dimension, fewer of which have no FD∞


@dataclass(frozen=True)
class Statistics:
    """Mean mu (d,) and covariance sigma (d, d) of features, float64. count: of how many images, 0 if unknown."""

    mu: Tensor
    sigma: Tensor
    count: int


@dataclass(frozen=True)
class FrechetLimit:
    """FD∞, and its standard error over sets of equally many images."""

    value: float
    stderr: float


def statistics(features: Tensor) -> Statistics:
    """Mean and unbiased covariance (n - 1, as numpy.cov) of float features (N, d), summed in float64 by pieces.

    Raises DataError for fewer than 2 rows or values that are not finite.
    """
    features = checked(features, 2)
    count, dim = features.shape
    mu = torch.zeros(dim, dtype=torch.float64)
    for part in parts(count, _CHUNK):
        mu += features[part].double().sum(0)
    mu /= count
    sigma = torch.zeros(dim, dim, dtype=torch.float64)
    for part in parts(count, _CHUNK):
        centred = features[part].double() - mu
        sigma.addmm_(centred.T, centred)
    return Statistics(mu, sigma / (count - 1), count)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """FD >= 0 in squared units of the features; 0 for equal statistics.

    FD = |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)

    Raises:
        DataError: for unlike dimensions.

    References:
        Dowson & Landau 1982; Heusel et al. 2017, https://arxiv.org/abs/1706.08500
    """
    alike(len(a.mu), len(b.mu))
    return _distance(a.mu, a.sigma, b, _root(b.sigma))


def frechet_interval(
    features: Tensor, reference: Statistics, *, level: float = 0.95, repeats: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap confidence interval of the FD of `features` to `reference`.

    `repeats` sets of N rows are drawn from the N rows with replacement. A drawn set holds fewer different rows, so its
    FD is higher by about the bias of N samples; the percentiles are shifted so that the mean of the drawn distances
    falls on the measured one, then clipped at 0. The reference counts as exact. Well above the FD of real images the
    interval has its nominal coverage; near it, where the scatter of the drawn sets makes most of the distance, it is up
    to twice too wide.

    Arguments:
        features: float (N, d).
        level: of confidence, 0 to 1.
        repeats: sets to draw; fewer, but at least 20, where N d^2 is large (10,000 x 2048).

    Raises:
        DataError: for fewer than 2 rows, values that are not finite, or unlike dimensions.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13
    """
    here = statistics(features)
    alike(len(here.mu), len(reference.mu))
    root = _root(reference.sigma)
    centre = _distance(here.mu, here.sigma, reference, root)
    count, dim = features.shape
    repeats = max(min(repeats, _FEWEST), min(repeats, int(_WORK / (count * dim**2 + 10 * dim**3))))
    drawn = torch.empty(repeats, dtype=torch.float64)
    for number in range(repeats):
        chosen = torch.randint(count, (count,), generator=generator(seed, "bootstrap", number))
        mu, sigma = _weighted(features, chosen.bincount(minlength=count), here.mu)
        drawn[number] = _distance(mu, sigma, reference, root)
    tail = (1 - level) / 2
    low, high = (drawn.quantile(share) - drawn.mean() + centre for share in (tail, 1 - tail))
    return max(0.0, float(low)), max(0.0, float(high))


def frechet_infinite(
    features: Tensor, reference: Statistics, *, points: int = 6, repeats: int = 20, seed: int = 0
) -> FrechetLimit | None:
    """FD∞: the FD extrapolated to infinitely many samples, by a least-squares fit of FD(n) = FD∞ + a / n.

    None for fewer than 4 images for each of the d dimensions, or 8 for each of those that the reference's features
    fill, (tr S)^2 / tr S^2: there FD(n) is not yet a line in 1 / n. The bias that comes from the size of the reference
    stays in it. Scatter may bring it a little below 0. Its standard error is the deviation of the same fit to random
    halves of the rows: half as many vary about these N rows as N do about the truth. Near 0 it is up to two and a half
    times too large, elsewhere up to one and a half times.

    Arguments:
        features: float (N, d).
        points: values of n, from N/2 to N; each subset is drawn independently.
        repeats: halves to draw.

    Raises:
        DataError: for fewer than 4 rows, values that are not finite, or unlike dimensions.

    References:
        Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023
        Shao & Wu 1989, delete-d jackknife, https://doi.org/10.1214/aos/1176347263
    """
    features = checked(features, 4)
    alike(features.shape[1], len(reference.mu))
    count, root = len(features), _root(reference.sigma)
    if count < max(_PER_DIMENSION * features.shape[1], _PER_FILLED * filled_dimensions(reference)):
        return None
    halves = torch.empty(repeats, dtype=torch.float64)
    for number in range(repeats):
        chosen = torch.randperm(count, generator=generator(seed, "half", number))[: count // 2]
        halves[number] = _limit(features[chosen], reference, root, points, seed, number)
    return FrechetLimit(_limit(features, reference, root, points, seed), float(halves.std()))


def filled_dimensions(statistics: Statistics) -> float:
    """(tr S)^2 / tr S^2: d where all directions vary alike, fewer where some vary little."""
    return float(statistics.sigma.trace() ** 2 / statistics.sigma.square().sum().clamp(min=1e-300))


def _limit(features: Tensor, reference: Statistics, root: Tensor, points: int, seed: int, *half: int) -> float:
    """FD∞ of float (N, d); `root` is that of the reference's covariance."""
    count = len(features)
    sizes = torch.linspace(count // 2, count, points, dtype=torch.float64).round().long()
    distances = []
    for number, size in enumerate(sizes.tolist()):
        chosen = torch.randperm(count, generator=generator(seed, "extrapolation", *half, number))[:size]
        some = statistics(features[chosen])
        distances.append(_distance(some.mu, some.sigma, reference, root))
    sought = torch.stack([torch.ones(points, dtype=torch.float64), 1 / sizes.double()], dim=1)
    fit = torch.linalg.lstsq(sought, torch.tensor(distances, dtype=torch.float64)[:, None])
    return float(fit.solution[0, 0])


def save_statistics(path: str | Path, statistics: Statistics, space: str = "") -> None:
    """Write an .npz with `mu`, `sigma` and `count`, whole or not at all; WriteError where that cannot be.

    space: `Features.space`, kept so that statistics of other features are noticed.
    """
    held = io.BytesIO()
    np.savez(
        held,
        mu=statistics.mu.numpy(),
        sigma=statistics.sigma.numpy(),
        count=np.int64(statistics.count),
        space=np.array(space),
    )
    write_bytes(path, held.getvalue())


def load_statistics(path: str | Path) -> tuple[Statistics, str]:
    """(statistics, the name of their features or "") of what `save_statistics`, EDM or pytorch-fid wrote.

    Raises DataError for a file that is missing, damaged, not an .npz or without these, and for values that do not fit.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}); give an .npz file with mu and sigma") from error
    mu, sigma, count, space = _arrays(path, content)
    if mu.ndim != 1 or not mu.size or sigma.shape != (mu.size, mu.size):
        raise DataError(
            f"{path} has mu {mu.shape} and sigma {sigma.shape}, which do not go together; (d,) and (d, d) are needed"
        )
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise DataError(f"{path} has values in mu or sigma that are not finite; compute the statistics again")
    return Statistics(torch.from_numpy(mu), torch.from_numpy(sigma), count), space


def _arrays(path: str | Path, content: bytes) -> tuple[np.ndarray, np.ndarray, int, str]:
    try:
        opened = np.load(io.BytesIO(content), allow_pickle=False)
        space = str(opened["space"]) if "space" in opened.files else ""
        held = {key: np.asarray(opened[key]) for key in ("mu", "sigma", "count") if key in opened.files}
    except Exception as error:  # zipfile and numpy stumble over damage in a dozen ways
        raise DataError(
            f"{path} is not an .npz file of numbers, or is damaged; compute the statistics again"
        ) from error
    if missing := [key for key in ("mu", "sigma") if key not in held]:
        raise DataError(f"{path} lacks {' and '.join(missing)}; give an .npz file with mu and sigma")
    count = held.pop("count", np.zeros((), np.int64))
    if any(array.dtype.kind not in "iuf" for array in held.values()) or count.dtype.kind not in "iu" or count.size != 1:
        raise DataError(f"{path} has values in mu, sigma or count that are not numbers; compute the statistics again")
    mu, sigma = (np.ascontiguousarray(held[key], dtype=np.float64) for key in ("mu", "sigma"))
    return mu, sigma, max(0, int(count.item())), space


def _weighted(features: Tensor, weights: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of rows that count `weights` (N,) times each; taken from `centre`, where nothing cancels."""
    count = int(weights.sum())
    total = torch.zeros(len(centre), dtype=torch.float64)
    squares = torch.zeros(len(centre), len(centre), dtype=torch.float64)
    for part in parts(len(features), _CHUNK):
        rows = features[part].double() - centre
        weighed = rows * weights[part, None]
        total += weighed.sum(0)
        squares.addmm_(weighed.T, rows)
    shift = total / count
    return centre + shift, (squares - count * torch.outer(shift, shift)) / (count - 1)


def _root(sigma: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(sigma)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def _distance(mu: Tensor, sigma: Tensor, reference: Statistics, root: Tensor) -> float:
    """FD, clipped at 0; `root` is that of the reference's covariance, which is wanted again and again."""
    inner = root @ sigma @ root
    shared = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    gap = (mu - reference.mu).square().sum()
    return max(0.0, float(gap + sigma.trace() + reference.sigma.trace() - 2 * shared))
