"""Nearest training images, in pixels or in features, exactly.

d(a, b) = sqrt(mean over pixels of (a - b)^2)     in grey levels, 0..255

Ranked by |b|^2 / 2 - a.b, one matrix product a chunk. Pixels count from 128: so every product and partial sum is a
whole number below 2^24 for images of up to 1024 values, and float32 holds it exactly. Larger images lose a few
hundredths of a grey level there, and features some of their last digits, so the nearest few are measured again,
value by value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.data.image_data import ImageData
from fromnoise.data.rows import Pixels, Rows
from fromnoise.metrics.checks import alike, checked, parts

_CHUNK = 8192  # training images at once
_QUERIES = 512  # samples at once: 512 x 8192 float32 scores are 16 MB
_VALUES = 8 << 20  # float32 values in one block of pixels: 32 MB
_HELD = 16  # times as many samples of a file are held at once as are compared at once: up to 128 MB
_SPARE = 4  # more candidates than wanted: rounding may swap close ranks


@dataclass(frozen=True)
class _Rows:
    """`count` rows of `width` values that are float32 only while they are used: `at` takes indices (B,)."""

    count: int
    width: int
    at: Callable[[Tensor], Tensor]

    def fit(self, values: int) -> int:
        """How many rows fit into so many values."""
        return max(1, values // self.width)


def nearest(
    samples: Pixels, data: ImageData, k: int = 1, chunk: int = _CHUNK, *, mirrored: bool = False
) -> tuple[Tensor, Tensor]:
    """(distances float32 (N, k), indices int64 (N, k)) of the k images of `data` nearest to each sample, nearest first.

    d(a, b) = sqrt(mean over pixels of (a - b)^2), in grey levels 0 to 255, exactly 0 for identical images

    Arguments:
        samples: uint8 (N, C, H, W), of data's shape; those that lie in a file are read up to 128 MB at a time.
        chunk: training images at once, fewer where they are large; each is fetched once, or as often as samples are
            read, and memory stays below 200 MB besides the samples.
        mirrored: also search for the mirror image of each sample, and take whichever is nearer to an image.

    Raises:
        DataError: for samples of another shape or kind, or for fewer than k images.
    """
    if samples.dtype != torch.uint8 or tuple(samples.shape[1:]) != data.spec.shape:
        given = f"{str(samples.dtype).removeprefix('torch.')} {tuple(samples.shape)}"
        raise DataError(
            f"the samples are {given}, but the data is uint8 (N, {', '.join(map(str, data.spec.shape))}); "
            "compare images of one shape"
        )
    width = samples.shape[1:].numel()
    if isinstance(samples, Rows):
        # A multiple of what is compared at once, so that the same samples in memory have the same distances to the bit.
        held = _HELD * min(_QUERIES, max(1, _VALUES // width))
        starts = range(0, max(1, len(samples)), held)
        pieces = [nearest(samples[start : start + held], data, k, chunk, mirrored=mirrored) for start in starts]
        distances, indices = zip(*pieces, strict=True)
        return torch.cat(distances), torch.cat(indices)
    if mirrored:
        found, other = nearest(samples, data, k, chunk), nearest(samples.flip(3), data, k, chunk)
        nearer = other[0][:, :1] < found[0][:, :1]
        return torch.where(nearer, other[0], found[0]), torch.where(nearer, other[1], found[1])
    ours = _Rows(len(samples), width, lambda indices: _centred(samples[indices.to(samples.device)]))
    return _search(ours, _Rows(len(data), width, lambda indices: _centred(data.fetch(indices)[0])), k, chunk)


def nearest_features(features: Tensor, others: Tensor, k: int = 1, chunk: int = _CHUNK) -> tuple[Tensor, Tensor]:
    """As `nearest`, of float features (N, d) among `others` (M, d): root mean squares over the d values, in float32.

    Raises DataError for unlike dimensions, values that are not finite, or fewer than k others.
    """
    features, others = checked(features, 0), checked(others, 1)
    alike(features.shape[1], others.shape[1])
    centre = others.double().mean(0).to(others.dtype)  # far from the origin, squares would cancel
    ours = _Rows(len(features), features.shape[1], lambda indices: (features[indices] - centre).float())
    return _search(
        ours, _Rows(len(others), others.shape[1], lambda indices: (others[indices] - centre).float()), k, chunk
    )


def _search(ours: _Rows, theirs: _Rows, k: int, chunk: int) -> tuple[Tensor, Tensor]:
    if not 1 <= k <= theirs.count:
        raise DataError(
            f"{k} nearest images were requested, but the data has {theirs.count}; request 1 to {theirs.count}"
        )
    found = _candidates(ours, theirs, min(theirs.count, k + _SPARE), chunk)
    rows = ours.fit(_VALUES // found.shape[1])
    measured = [_measured(ours.at(_range(part)), theirs, found[part]) for part in parts(ours.count, rows)]
    if not measured:
        return torch.zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    distances, indices = zip(*measured, strict=True)
    return torch.cat(distances)[:, :k], torch.cat(indices)[:, :k]


def _candidates(ours: _Rows, theirs: _Rows, keep: int, chunk: int) -> Tensor:
    """Indices (N, keep) of their rows with the least scores, in no order."""
    best = torch.full((ours.count, keep), float("inf"))
    where = torch.zeros(ours.count, keep, dtype=torch.int64)
    for block in parts(theirs.count, min(chunk, theirs.fit(_VALUES))):
        indices = _range(block)
        rows = theirs.at(indices)
        half = rows.square().sum(1) / 2
        for part in parts(ours.count, min(_QUERIES, ours.fit(_VALUES))):
            scores = torch.addmm(half, ours.at(_range(part)), rows.T, alpha=-1)
            low, place = scores.topk(min(keep, len(indices)), dim=1, largest=False)
            best[part], chosen = torch.cat([best[part], low], dim=1).topk(keep, dim=1, largest=False)
            where[part] = torch.cat([where[part], indices[place]], dim=1).gather(1, chosen)
    return where


def _measured(ours: Tensor, theirs: _Rows, found: Tensor) -> tuple[Tensor, Tensor]:
    """Exact distances to the rows `found` (N, keep), nearest first, the earlier of equals first; and which."""
    found = found.sort(1).values
    rows = theirs.at(found.flatten()).view(*found.shape, -1)
    distances = rows.sub_(ours[:, None]).square_().mean(2).sqrt()
    distances, order = distances.sort(dim=1, stable=True)
    return distances, found.gather(1, order)


def _range(part: slice) -> Tensor:
    return torch.arange(part.start, part.stop)


def _centred(images: Tensor) -> Tensor:
    """Flat float32 pixels, whole numbers from -128 to 127."""
    return images.cpu().flatten(1).float().sub_(128)
