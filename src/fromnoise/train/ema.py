"""An exponential moving average of the weights whose length grows with training (Karras et al. 2024a, section 3.1).

    average <- beta average + (1 - beta) weights,   beta(n) = (1 - 1/n)^(gamma + 1) after n steps

The profile is a power of time: its standard deviation is a fixed share (`length`) of the time trained so far,
so early previews are not noise and nothing has to be tuned to the length of a run. gamma solves
length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).

References: https://arxiv.org/abs/2312.02696
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fromnoise.train.row import lay_in_row, rows_of


def power_for(length: float) -> float:
    """gamma for a relative standard deviation `length` in (0, 0.28], by bisection (the profile narrows with gamma)."""
    low, high = 0.0, 1e7
    for _ in range(200):
        middle = (low + high) / 2
        length_of_middle = ((middle + 1) / ((middle + 2) ** 2 * (middle + 3))) ** 0.5
        low, high = (middle, high) if length_of_middle > length else (low, middle)
    return (low + high) / 2


class Ema:
    """The average of the weights of `source`: `net`, a plain copy of that network, never a compiled or wrapped one."""

    def __init__(self, source: nn.Module, length: float) -> None:
        self.net = copy.deepcopy(source).eval().requires_grad_(False)
        lay_in_row(self.net)
        self.gamma = power_for(length)
        # Listed once: to walk through the modules takes longer than to average a small network.
        self._weights: tuple[list[Tensor], list[Tensor]] = [*self.net.parameters()], [*source.parameters()]
        self._buffers = list(zip(self.net.buffers(), source.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights of the source after its `step`-th update (from 1); the first replaces the average."""
        keep = (1 - 1 / step) ** (self.gamma + 1)
        mine, theirs = self._weights
        rows = rows_of(mine, theirs)
        if rows:  # one operation instead of one for each parameter
            rows[0].lerp_(rows[1], 1 - keep)
        else:
            torch._foreach_lerp_(mine, theirs, 1 - keep)
        for own, other in self._buffers:
            own.copy_(other)
