"""Channels scaled and shifted by what a network is conditioned on, at the speed of a CPU's memory."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


class Vectors(nn.Linear):
    """Several linear maps of one input in one layer, such as scale and shift of an embedding.

    (B, inputs) -> (B, pieces width), to be cut into `pieces` vectors. Muon takes each map for a matrix of its own.
    """

    def __init__(self, inputs: int, width: int, pieces: int) -> None:
        super().__init__(inputs, pieces * width)
        self.pieces = pieces


def modulated(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """h (1 + scale) + shift, for h (B, C, H, W), scale and shift (B, C)."""
    if h.device.type == "cpu" and h.stride(1) == 1 and not torch.compiler.is_compiling():
        return cast(Tensor, cast(Any, _ByRows).apply(h, scale, shift))
    return torch.addcmul(_pixel(shift), h, 1 + _pixel(scale))


class _ByRows(torch.autograd.Function):
    """`modulated` where the channels of a pixel lie together: a row of pixels at a time, not one pixel's few channels.

    The backward pass is written down because torch's own goes over all of h once more, to multiply it by 1.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return torch.addcmul(_row(shift, h), h, _row(1 + scale, h))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,), (h, scale) = grads, ctx.saved_tensors
        return grad * _pixel(1 + scale), (grad * h).sum((2, 3)), grad.sum((2, 3))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (of_h, of_scale, of_shift), (h, scale) = tangents, ctx.saved_tensors
        return cast(Tensor, of_h * _pixel(1 + scale) + h * _pixel(of_scale) + _pixel(of_shift))


def _pixel(each: Tensor) -> Tensor:
    """A number for each channel, (B, C) -> (B, C, 1, 1)."""
    return each[:, :, None, None]


def _row(each: Tensor, h: Tensor) -> Tensor:
    """The same, in memory for each pixel of a row: (B, C) -> (B, C, 1, W)."""
    return each[:, None].expand(-1, h.shape[3], -1).contiguous().mT[:, :, None]
