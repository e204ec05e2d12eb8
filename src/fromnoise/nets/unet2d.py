"""diffusers' UNet2DModel behind the same call as our own networks."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.extras import extra
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.blocks import pad_to_multiple
from fromnoise.settings import NetOptions


class UNet2D(nn.Module):
    """UNet2DModel(sample_size, layers_per_block=2), attention at every level but the first.

    With 1 channel, sample_size 28 and widths (32, 64, 64) this is the chapter's network, 1,707,009 parameters.
    The time code becomes its timestep; without time_conditioning the timestep is always 0, as in the chapter. Where
    spec has classes they are its class labels, with one more for "no class".

    References: Ho et al. 2020, DDPM, appendix B, https://arxiv.org/abs/2006.11239
    """

    def __init__(
        self,
        spec: ImageSpec,
        channels: tuple[int, ...] = (32, 64, 64),
        attention: bool = True,
        time_conditioning: bool = True,
    ) -> None:
        if not channels or any(width < 1 or width % 32 for width in channels):
            raise UsageError(
                f"net.channels is {list(channels)}, but UNet2DModel needs multiples of 32; give such widths"
            )
        super().__init__()
        with extra("diffusers", "network unet2d"):
            from diffusers import UNet2DModel

        self.time_conditioning = time_conditioning
        self.null_label = spec.null_label
        self.multiple = 2 ** (len(channels) - 1)
        down, up = ("AttnDownBlock2D", "AttnUpBlock2D") if attention else ("DownBlock2D", "UpBlock2D")
        lower = len(channels) - 1
        self.unet = UNet2DModel(
            sample_size=spec.height if spec.height == spec.width else (spec.height, spec.width),
            in_channels=spec.channels,
            out_channels=spec.channels,
            layers_per_block=2,
            block_out_channels=channels,
            down_block_types=("DownBlock2D", *[down] * lower),
            up_block_types=(*[up] * lower, "UpBlock2D"),
            num_class_embeds=spec.null_label + 1 if spec.classes else None,
        )

    @classmethod
    def from_options(cls, options: NetOptions, spec: ImageSpec) -> UNet2D:
        """The network that the run's settings describe, for images of `spec`."""
        return cls(spec, options.channels, options.attention, options.time_conditioning)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of any size -> the same shape; code (B,) is the timestep, label (B,) the class or None."""
        height, width = x.shape[-2:]
        unconditional = code is None or not self.time_conditioning
        timestep = torch.zeros(x.shape[0], device=x.device) if unconditional or code is None else code
        if not self.null_label:
            label = None
        elif label is None:
            label = torch.full((x.shape[0],), self.null_label, device=x.device)
        out = self.unet(pad_to_multiple(x, self.multiple), timestep, class_labels=label, return_dict=False)[0]
        return cast(Tensor, out[..., :height, :width])
