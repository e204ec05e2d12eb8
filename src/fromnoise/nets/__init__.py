"""Networks. Each takes (x, code, label) and knows nothing of processes, predictions or samplers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fromnoise.common.image_spec import ImageSpec
    from fromnoise.settings import NetOptions


class Backbone(Protocol):
    """x (B, C, H, W), code (B,), label (B,) or None -> (B, C, H, W)."""

    def __call__(self, x: Tensor, code: Tensor, label: Tensor | None = None) -> Tensor: ...


def build_net(options: NetOptions, spec: ImageSpec) -> nn.Module:
    """The network that `options` describes, for images of `spec`; freshly initialised from torch's generator.

    It is told the class where spec has classes and the options say so. Raises UsageError for a size that cannot be.
    """
    from fromnoise.nets.basic_unet import BasicUNet
    from fromnoise.nets.dit import DiT
    from fromnoise.nets.unet import UNet
    from fromnoise.nets.unet2d import UNet2D

    if not options.class_conditioning:
        spec = replace(spec, classes=())
    if options.kind == "basic_unet":
        return BasicUNet(spec.channels, spec.channels, options.time_conditioning, len(spec.classes))
    if options.kind == "unet2d":
        return UNet2D(spec, options.channels, options.attention, time_conditioning=options.time_conditioning)
    if options.kind == "dit":
        return DiT(spec, options.width, options.depth, time_conditioning=options.time_conditioning)
    return UNet(spec, options.width, options.depth, time_conditioning=options.time_conditioning)
