"""The chapter's network: three convolutions down, three up, 309,057 parameters for one channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fromnoise.nets.blocks import pad_to_multiple


class BasicUNet(nn.Module):
    """A minimal U-Net (the chapter, section 3.3): 5x5 convolutions 1-32-64-64 down and 64-64-32-1 up.

    SiLU follows every convolution, the last one too. Sides are halved after the first two and doubled before
    the last two; what came down is added, last stored first, after each doubling. It ignores the time, unless
    `told_time` gives it one more input channel that holds code / 1000 everywhere.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, told_time: bool = False) -> None:
        super().__init__()
        self.told_time = told_time
        first = in_channels + int(told_time)
        self.down_layers = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=5, padding=2) for i, o in [(first, 32), (32, 64), (64, 64)]
        )
        self.up_layers = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=5, padding=2) for i, o in [(64, 64), (64, 32), (32, out_channels)]
        )
        self.act = nn.SiLU()
        self.downscale = nn.MaxPool2d(2)
        self.upscale = nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of any size -> (B, out_channels, H, W); code (B,) is used where told_time, label never."""
        height, width = x.shape[-2:]
        if self.told_time:
            if code is None:
                raise ValueError("this BasicUNet was made with told_time=True, so it needs a time code (B,)")
            constant = (code.to(x.dtype) / 1000).view(-1, 1, 1, 1).expand(-1, 1, height, width)
            x = torch.cat([x, constant], dim=1)
        x = pad_to_multiple(x, 4)
        stored = []
        for i, layer in enumerate(self.down_layers):
            x = self.act(layer(x))
            if i < 2:
                stored.append(x)
                x = self.downscale(x)
        for i, layer in enumerate(self.up_layers):
            if i > 0:
                x = self.upscale(x) + stored.pop()
            x = self.act(layer(x))
        return x[..., :height, :width]
