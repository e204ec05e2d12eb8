"""Which network, and its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option


@dataclass(frozen=True)
class NetOptions:
    """A network's kind and size; what a kind does not use is ignored by it."""

    kind: Literal["unet", "dit", "basic_unet", "unet2d"] = option(
        "unet", "our small U-Net, a transformer, the chapter's BasicUNet, or diffusers' UNet2DModel"
    )
    width: int = option(32, "channels at the first level of the U-Net, or of a token of the DiT", least=8, most=512)
    depth: int = option(2, "residual blocks a level of the U-Net, or blocks of the DiT", least=1, most=8)
    told_time: bool = option(True, "tell the network the time (the chapter's networks are blind to it)")
    told_class: bool = option(True, "tell the network the class, where the images have classes")
    channels: tuple[int, ...] = option((32, 64, 64), "channels of each level of UNet2DModel")
    attention: bool = option(True, "self-attention at the lower levels of UNet2DModel")
