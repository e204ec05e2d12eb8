"""All running averages of a network's weights that training keeps.

One is sampled with (`ema`). Two of fixed lengths are kept besides, from which an average of any other length is made
after training: see `fromnoise.train.posthoc_ema`.
"""

from __future__ import annotations

from torch import nn

from fromnoise.settings import TrainOptions
from fromnoise.train.ema import Ema

POSTHOC_LENGTHS = (0.05, 0.1)  # of the averages from which others are made


class Averages:
    """Starts at the weights of `net`; `update` after each training step.

    Attributes:
        ema: the average to sample with, None without `use_ema`.
        posthoc: the averages of POSTHOC_LENGTHS by length, empty without `posthoc_ema`; `ema` itself is among them
            where its length is one of these.
    """

    def __init__(self, net: nn.Module, options: TrainOptions) -> None:
        self.ema = Ema(net, options.ema_length) if options.use_ema else None
        self.posthoc: dict[float, Ema] = {}
        if self.ema and options.posthoc_ema:
            self.posthoc = {
                length: self.ema if length == options.ema_length else Ema(net, length) for length in POSTHOC_LENGTHS
            }

    @property
    def others(self) -> dict[float, Ema]:
        """Those of `posthoc` that are not `ema` itself."""
        return {length: average for length, average in self.posthoc.items() if average is not self.ema}

    def update(self, step: int) -> None:
        """Take in the weights of the network after its `step`-th update (from 1)."""
        if self.ema:
            self.ema.update(step)
        for average in self.others.values():
            average.update(step)
