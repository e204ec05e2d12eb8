"""Nearest training images, in pixels: twins would mean copying.

d(a, b) = sqrt(mean over pixels of (a - b)^2)     in grey levels, 0..255

Ranked by |b|^2 / 2 - a.b, one matrix product a chunk. Pixels count from 128: so every product and partial sum is a
whole number below 2^24 for images of up to 1024 values, and float32 holds it exactly. Larger images lose a few
hundredths of a grey level there, so the nearest few are measured again, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fromnoise.data.dataset import ImageData
from fromnoise.errors import DataError

_CHUNK = 8192  # training images at once
_QUERIES = 512  # samples at once: 512 x 8192 float32 scores are 16 MB
_VALUES = 8 << 20  # float32 values in one block of pixels: 32 MB
_SPARE = 4  # more candidates than wanted: rounding may swap close ranks


def nearest(samples: Tensor, data: ImageData, k: int = 1, chunk: int = _CHUNK) -> tuple[Tensor, Tensor]:
    """(distances float32 (N, k), indices int64 (N, k)) of the k images of `data` nearest to each sample, nearest first.

    samples: uint8 (N, C, H, W), of data's shape. Distances are root mean squares in grey levels, 0..255, and exactly
    0 for twins. chunk: training images at once, fewer where they are large; each is fetched once, and memory stays
    below 200 MB. Raises DataError for samples of another shape or kind, or for fewer than k images.
    """
    _check(samples, data, k)
    found = _candidates(samples.cpu(), data, min(len(data), k + _SPARE), chunk)
    rows = _rows(samples, _VALUES // found.shape[1])
    measured = [_measured(samples[part].cpu(), data, found[part]) for part in _parts(len(samples), rows)]
    if not measured:
        return torch.zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    distances, indices = zip(*measured, strict=True)
    return torch.cat(distances)[:, :k], torch.cat(indices)[:, :k]


def _check(samples: Tensor, data: ImageData, k: int) -> None:
    if samples.dtype != torch.uint8 or tuple(samples.shape[1:]) != data.spec.shape:
        given = f"{str(samples.dtype).removeprefix('torch.')} {tuple(samples.shape)}"
        raise DataError(
            f"the samples are {given}, but the data is uint8 (N, {', '.join(map(str, data.spec.shape))}); "
            "compare pictures of one shape"
        )
    if not 1 <= k <= len(data):
        raise DataError(f"{k} nearest images were asked for, but the data has {len(data)}; ask for 1 to {len(data)}")


def _candidates(samples: Tensor, data: ImageData, keep: int, chunk: int) -> Tensor:
    """Indices (N, keep) of the images with the least scores, in no order."""
    best = torch.full((len(samples), keep), float("inf"))
    where = torch.zeros(len(samples), keep, dtype=torch.int64)
    for images in _parts(len(data), min(chunk, _rows(samples, _VALUES))):
        indices = torch.arange(images.start, images.stop)
        pixels = _centred(data.fetch(indices)[0].cpu())
        half = pixels.square().sum(1) / 2
        for part in _parts(len(samples), min(_QUERIES, _rows(samples, _VALUES))):
            scores = torch.addmm(half, _centred(samples[part]), pixels.T, alpha=-1)
            low, place = scores.topk(min(keep, len(indices)), dim=1, largest=False)
            best[part], chosen = torch.cat([best[part], low], dim=1).topk(keep, dim=1, largest=False)
            where[part] = torch.cat([where[part], indices[place]], dim=1).gather(1, chosen)
    return where


def _measured(samples: Tensor, data: ImageData, found: Tensor) -> tuple[Tensor, Tensor]:
    """Exact distances to the images `found` (N, keep), nearest first, the earlier of equals first; and which."""
    found = found.sort(1).values
    images = data.fetch(found.flatten())[0].cpu().flatten(1).view(*found.shape, -1)
    distances = (images.float() - samples.flatten(1).float()[:, None]).square_().mean(2).sqrt()
    distances, order = distances.sort(dim=1, stable=True)
    return distances, found.gather(1, order)


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, max(1, size)))


def _rows(samples: Tensor, values: int) -> int:
    """How many pictures like these fit into so many values."""
    return max(1, values // samples.shape[1:].numel())


def _centred(images: Tensor) -> Tensor:
    """Flat float32 pixels, whole numbers from -128 to 127."""
    return images.flatten(1).float() - 128
