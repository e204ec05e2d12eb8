"""Baselines without a network: x0 predictions from statistics of the training images, which a network should beat.

    linear filter   m + sum_i  alpha l_i / (alpha^2 l_i + sigma^2 v)  <u_i, x_t - alpha m - sigma n> u_i
    look-up         sum_j w_j x_j,   w = softmax_j( -|x_t - alpha x_j|^2 / (2 sigma^2) )

m, l, u: mean, eigenvalues and eigenvectors of the training images; n, v: mean and variance of the noise (Wiener
1949). The look-up is the posterior mean if there were no images but the training images (Vincent 2011,
https://doi.org/10.1162/NECO_a_00142); it needs normal noise. The first is strong at low noise, the second at high.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.diagnosis.noise_levels import X0Prediction
from fromnoise.diffusion.process import Process, broadcast_like

_WHOLE = 1024  # values in an image that is filtered as a whole; a larger one is filtered in tiles
_TILE = 16  # pixels a side of a tile
_MOST_TILES = 20_000
_LOOKED_UP = 10_000  # training images in the look-up
_VALUES = 32 << 20  # float32 values it holds at most: 128 MB


@dataclass(frozen=True)
class _Tiling:
    """How images (B, C, H, W) become rows (N, values) and come back; one tile is the whole of a small image."""

    shape: tuple[int, int, int]

    def _side(self, length: int) -> int:
        channels, height, width = self.shape
        return length if channels * height * width <= _WHOLE else min(_TILE, length)

    def rows(self, x: Tensor) -> Tensor:
        channels, height, width = self.shape
        high, wide = self._side(height), self._side(width)
        padded = torch.nn.functional.pad(x, (0, -width % wide, 0, -height % high), mode="replicate")
        tiles = padded.unfold(2, high, high).unfold(3, wide, wide)  # (B, C, rows, columns, high, wide)
        return tiles.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * high * wide)

    def images(self, rows: Tensor) -> Tensor:
        channels, height, width = self.shape
        high, wide = self._side(height), self._side(width)
        down, across = -(-height // high), -(-width // wide)
        tiles = rows.view(-1, down, across, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
        return tiles.reshape(-1, channels, down * high, across * wide)[..., :height, :width]


def linear_filter(process: Process, x0: Tensor) -> X0Prediction:
    """The best linear prediction, from training images x0, float (N, C, H, W) in the model's range.

    Images of more than 1,024 values are filtered in tiles of 16x16 pixels, whose statistics are shared.
    """
    tiling = _Tiling((x0.shape[1], x0.shape[2], x0.shape[3]))
    tiles = len(x0) * len(tiling.rows(x0[:1]))
    rows = tiling.rows(x0[:: max(1, -(-tiles // _MOST_TILES))]).double()  # fewer images, of which all tiles
    mean = rows.mean(0)
    variances, axes = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    variances, axes, mean = variances.clamp(min=0).float(), axes.float(), mean.float()
    noise_mean, noise_variance = (0.0, 1.0) if process.prior.gaussian else (0.5, 1 / 12)

    def predict(xt: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        alpha, sigma = (float(value[0]) for value in process.scales(t))
        gain = alpha * variances / (alpha**2 * variances + sigma**2 * noise_variance)
        inner = (tiling.rows(xt) - alpha * mean - sigma * noise_mean) @ axes
        return tiling.images(mean + (gain * inner) @ axes.T)

    return predict


def look_up(process: Process, x0: Tensor) -> X0Prediction | None:
    """The posterior mean over training images x0, float (N, C, H, W); None for other than normal noise."""
    if not process.prior.gaussian:
        return None
    most = max(1, min(_LOOKED_UP, _VALUES // x0[0].numel()))
    known = x0[:: max(1, -(-len(x0) // most))].flatten(1)
    half = known.square().sum(1) / 2

    def predict(xt: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        alpha, sigma = (broadcast_like(value, xt).flatten(1) for value in process.scales(t))
        score = (alpha * (xt.flatten(1) @ known.T) - alpha**2 * half) / sigma**2
        return (score.softmax(1) @ known).view_as(xt)

    return predict
