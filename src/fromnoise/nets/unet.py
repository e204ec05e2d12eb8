"""Our own small U-Net: the pixels are folded first, so that no layer works at full resolution.

A 3x3 convolution costs the same number of operations at 28x28 with 32 channels as at 14x14 with 64, but moves
four times the memory. So the input is folded 2x2 pixels into channels (pixel unshuffle; Hoogeboom et al. 2023,
"simple diffusion", put their work at low resolution for the same reason), and a 28x28 digit is processed
at 14x14 and 7x7 only.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.blocks import Embedding, ResidualBlock, conditions, fold_factor, in_bounds, pad_to_multiple
from fromnoise.settings import NetOptions


class UNet(nn.Module):
    """Two levels of residual blocks, conditioned on the time and, where there are classes, the class.

    fold -> width at 1/f -> 2 width at 1/2f -> width at 1/f -> unfold. The last layer starts at zero.

    Arguments:
        spec: the images' shape and classes; without classes there is no class conditioning.
        width: channels at the first level.
        depth: residual blocks per level.
        time_conditioning: without it every time code counts as 0.
        bounded: whether the output stays in the images' range.

    References: Ronneberger et al. 2015, U-Net, https://arxiv.org/abs/1505.04597
        Hoogeboom et al. 2023, simple diffusion, https://arxiv.org/abs/2301.11093
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 32,
        depth: int = 2,
        time_conditioning: bool = True,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.bounds = (spec.low, spec.high) if bounded else None
        self.fold = fold_factor(spec)
        embedding = 4 * width
        self.embed = Embedding(spec, embedding, time_conditioning)
        folded = spec.channels * self.fold**2
        self.enter = nn.Conv2d(folded, width, 3, padding=1)
        self.down = _blocks(depth, width, embedding)
        self.narrow = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle = _blocks(2 * depth, 2 * width, embedding)
        self.widen = nn.Conv2d(2 * width, 4 * width, 1)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.up = _blocks(depth, width, embedding)
        self.leave = nn.Conv2d(width, folded, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(cast(Tensor, self.leave.bias))

    @classmethod
    def from_options(cls, options: NetOptions, spec: ImageSpec) -> UNet:
        """The network that the run's settings describe, for images of `spec`."""
        return cls(spec, options.width, options.depth, options.time_conditioning, options.bounded)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """x (B, C, H, W), code (B,), label (B,) or None -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        blocks = cast(list[ResidualBlock], [*self.down, *self.middle, *self.up])
        condition = iter(conditions(blocks, self.embed(x, code, label)))
        h = self.enter(F.pixel_unshuffle(pad_to_multiple(x, 2 * self.fold), self.fold))
        for block in self.down:
            h = block(h, next(condition))
        skip, h = h, self.narrow(h)
        for block in self.middle:
            h = block(h, next(condition))
        h = F.pixel_shuffle(self.widen(F.silu(h)), 2)
        h = self.join(torch.cat([h, skip], dim=1))
        for block in self.up:
            h = block(h, next(condition))
        out = F.pixel_shuffle(self.leave(F.silu(h)), self.fold)
        out = out[..., :height, :width]
        if self.bounds is None:
            return out
        bounded, scale = in_bounds(out, *self.bounds), self.embed.scales(label)
        if scale is None:
            return bounded
        return torch.where((scale == 1)[:, None, None, None], bounded, out)  # what is guided leaves the images' range


def _blocks(depth: int, width: int, embedding: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(width, embedding) for _ in range(depth))
