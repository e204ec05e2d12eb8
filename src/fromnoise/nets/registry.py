"""Networks by name: the one place where a new one is added."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from torch import nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.nets.blocks import Embedding
from fromnoise.nets.dit import DiT
from fromnoise.nets.unet import UNet
from fromnoise.nets.unet2d import UNet2D
from fromnoise.settings import NetOptions


class NetworkType(Protocol):
    """A class of networks that can be built from a run's settings."""

    def from_options(self, options: NetOptions, spec: ImageSpec) -> nn.Module:
        """The network of this kind that `options` describes, for images of `spec`."""


NETWORKS: dict[str, NetworkType] = {
    "unet": UNet,
    "dit": DiT,
    "basic_unet": BasicUNet,
    "unet2d": UNet2D,
}


def build_net(options: NetOptions, spec: ImageSpec) -> nn.Module:
    """The network that `options` describes, freshly initialised from torch's generator.

    Arguments:
        options: kind, size and conditioning.
        spec: the images' shape and classes; the network is conditioned on the class where both ask for it.

    Raises:
        UsageError: for a size that the network cannot have, and for a guidance scale as input of a network without
            our `Embedding`.
    """
    if not options.class_conditioning:
        spec = replace(spec, classes=())
    net = NETWORKS[options.kind].from_options(options, spec)
    if spec.guidance_input and not any(isinstance(part, Embedding) for part in net.modules()):
        raise UsageError(
            f"objective.guidance_input is {spec.guidance_input.most:g}, but network '{options.kind}' takes no guidance "
            "scale; set net.kind=unet or net.kind=dit, or leave it out"
        )
    return net
