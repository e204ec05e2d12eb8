"""The chapter's network: three convolutions down, three up, 309,057 parameters for one channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.common.labels import classes_of
from fromnoise.nets.blocks import NumberEmbedding, pad_to_multiple
from fromnoise.nets.single_channel_conv import SingleChannelConv2d
from fromnoise.settings import NetOptions

CLASS_CHANNELS = 4


class BasicUNet(nn.Module):
    """A minimal U-Net (the chapter's): 5x5 convolutions 1-32-64-64 down and 64-64-32-1 up.

    SiLU follows every convolution, the last one too. Sides are halved after the first two and doubled before
    the last two; what came down is added, last stored first, after each doubling.

    time_conditioning: one more input channel holds code / 1000 everywhere; without it the network ignores the time.
    classes: above 0, four more channels hold what was learned for the class (or for none: label == classes).
    conditions: four more channels hold what is learned of these numbers.

    References: "Diffusion models from scratch", unit 1 of Hugging Face's diffusion course, 2022,
        https://github.com/huggingface/diffusion-models-class
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        time_conditioning: bool = False,
        classes: int = 0,
        conditions: Sequence[Condition] = (),
    ) -> None:
        super().__init__()
        self.time_conditioning = time_conditioning
        self.null_label = classes
        first = in_channels + int(time_conditioning) + CLASS_CHANNELS * (bool(classes) + bool(conditions))
        self.down_layers = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=5, padding=2) for i, o in [(first, 32), (32, 64), (64, 64)]
        )
        self.up_layers = nn.ModuleList(nn.Conv2d(i, o, kernel_size=5, padding=2) for i, o in [(64, 64), (64, 32)])
        last = SingleChannelConv2d(32, 5) if out_channels == 1 else nn.Conv2d(32, out_channels, 5, padding=2)
        self.up_layers.append(last)
        self.act = nn.SiLU()
        self.downscale = nn.MaxPool2d(2)
        self.upscale = nn.Upsample(scale_factor=2)
        self.label = nn.Embedding(classes + 1, CLASS_CHANNELS) if classes else None
        self.numbers = NumberEmbedding(conditions, CLASS_CHANNELS) if conditions else None

    @classmethod
    def from_options(cls, options: NetOptions, spec: ImageSpec) -> BasicUNet:
        """The network that the run's settings describe, for images of `spec`."""
        return cls(spec.channels, spec.channels, options.time_conditioning, len(spec.classes), spec.conditions)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) of any size -> (B, out_channels, H, W); code (B,) and label where conditioned on them."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(self._with_constants(x, code, label), 4)
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

    def _with_constants(self, x: Tensor, code: Tensor | None, label: Tensor | None) -> Tensor:
        """x and, behind its channels, those of time, class and numbers: the same number everywhere."""
        constants = []
        if self.time_conditioning:
            if code is None:
                raise ValueError("this BasicUNet was made with time_conditioning=True, so it needs a time code (B,)")
            constants.append(code.to(x.dtype)[:, None] / 1000)
        if self.label is not None:
            none = torch.full((x.shape[0],), self.null_label, device=x.device)
            constants.append(self.label(none if label is None else classes_of(label)).to(x.dtype))
        if self.numbers is not None:
            constants.append(self.numbers(x, label).to(x.dtype))
        planes = [values[:, :, None, None].expand(-1, -1, *x.shape[-2:]) for values in constants]
        return torch.cat([x, *planes], dim=1) if planes else x
