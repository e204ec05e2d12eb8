"""A convolution to one channel that a CPU trains quickly."""

from __future__ import annotations

from itertools import product
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SingleChannelConv2d(nn.Conv2d):
    """nn.Conv2d to one channel, of an odd kernel K and the padding that keeps the size; its parameters are the same.

    The kernels of CPUs make channels by eights or sixteens, so that one costs as much as many. In training on a CPU the
    sum over channels comes first instead, one matrix product of what each pixel gives to each of its K x K
    neighbours, then the sum over these: the same numbers but for rounding, about 2.5 times as fast at 28x28,
    32 channels, K = 5 (two cores with AVX512_BF16).
    """

    def __init__(self, in_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 1, H, W)."""
        if not self.training or x.device.type != "cpu" or x.ndim != 4:
            return super().forward(x)
        given = x, self.weight, cast(Tensor, self.bias)
        if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:
            given = cast(Any, tuple(one.to(torch.get_autocast_dtype("cpu")) for one in given))
        return cast(Tensor, cast(Any, _ToGrey).apply(*given))


class _ToGrey(torch.autograd.Function):
    """out(p) = bias + sum over i, j of planes_ij(p + (i, j) - K//2), where planes_ij(q) = <weight_ij, x(q)>."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        (count, _, height, width), k = x.shape, weight.shape[-1]
        planes = (_taps(weight) @ _pixels(x).T).view(k * k, count, height, width)
        exact = torch.promote_types(x.dtype, torch.float32)
        total = bias.to(exact).expand(count, height + k - 1, width + k - 1).clone()
        for plane, (down, right) in zip(planes, _places(k), strict=True):
            total[:, down : down + height, right : right + width] += plane
        inside = slice(k // 2, k // 2 + height), slice(k // 2, k // 2 + width)
        return total[:, None, *inside].to(x.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        (count, channels, height, width), k = x.shape, weight.shape[-1]
        around = F.pad(grad[:, 0], (k // 2,) * 4)
        to_planes = torch.stack([around[:, y : y + height, x : x + width] for y, x in _places(k)]).view(k * k, -1)
        to_x = (to_planes.T @ _taps(weight)).view(count, height, width, channels).permute(0, 3, 1, 2)
        to_weight = (to_planes @ _pixels(x)).view(k, k, channels).permute(2, 0, 1)[None]
        return to_x, to_weight, grad.sum((0, 2, 3))


def _pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B H W, C); a view, where the channels of a pixel lie together."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _taps(weight: Tensor) -> Tensor:
    """(1, C, K, K) -> (K K, C)."""
    return weight[0].flatten(1).T


def _places(k: int) -> product[tuple[int, ...]]:
    """Where each tap's plane begins in an image with K//2 more pixels all around."""
    return product(reversed(range(k)), repeat=2)
