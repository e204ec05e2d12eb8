"""A network whose convolutions and linear layers have their weights rounded already to the type autocast computes in.

Autocast rounds weight by weight in the forward pass, and takes gradient by gradient back: two small operations and a
record for each. Here all weights are rounded at once, and all gradients taken over at once; the numbers are the same.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fromnoise.train.row import parts


class Rounded:
    """A copy of `net` to compute gradients with; all but the weights that are rounded it shares with `net`.

    Attributes:
        net: the copy.
    """

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        layers = [layer for layer in net.modules() if isinstance(layer, (nn.Linear, _ConvNd))]
        self._exact: list[Tensor] = list(
            dict.fromkeys(weight for layer in layers for weight in layer.parameters(recurse=False))
        )
        self._weights: list[Tensor] = []
        for weight in self._exact:
            self._weights.append(nn.Parameter(weight.detach().to(dtype), weight.requires_grad))
        row = torch.zeros(sum(weight.numel() for weight in self._exact))
        self._gradients: list[Tensor] = parts(row, self._exact)
        shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
        replaced = {id(weight): mine for weight, mine in zip(self._exact, self._weights, strict=True)}
        self._original, self.net = net, copy.deepcopy(net, {**shared, **replaced})

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the present weights; gradients that nobody took are gone."""
        torch._foreach_copy_(self._weights, self._exact)
        for weight in self._weights:
            weight.grad = None
        if self.net.training != self._original.training:
            self.net.train(self._original.training)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Add the gradients to those of the exact weights."""
        for exact, weight, place in zip(self._exact, self._weights, self._gradients, strict=True):
            if weight.grad is None:
                continue
            if exact.grad is None:
                exact.grad = place.copy_(weight.grad)
            else:
                exact.grad.add_(weight.grad)
            weight.grad = None
