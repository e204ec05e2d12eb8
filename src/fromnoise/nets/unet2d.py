"""diffusers' UNet2DModel behind the same call as our own networks."""

from __future__ import annotations

import json
from typing import Any, cast

import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.extras import extra
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import classes_of
from fromnoise.nets.blocks import NumberEmbedding, pad_to_multiple
from fromnoise.settings import NetOptions

_MOST_LAYERS = 16
_REFUSALS = (ValueError, TypeError, LookupError, AttributeError, NameError, ArithmeticError, AssertionError)
_ARGUMENTS: dict[str, tuple[type, ...]] = {  # of UNet2DModel: those that images and other settings leave open
    "layers_per_block": (int,),
    "down_block_types": (list,),
    "up_block_types": (list,),
    "mid_block_type": (str, type(None)),
    "center_input_sample": (bool,),
    "time_embedding_type": (str,),
    "time_embedding_dim": (int, type(None)),
    "freq_shift": (int, float),
    "flip_sin_to_cos": (bool,),
    "mid_block_scale_factor": (int, float),
    "downsample_padding": (int,),
    "downsample_type": (str,),
    "upsample_type": (str,),
    "dropout": (int, float),
    "act_fn": (str,),
    "attention_head_dim": (int, type(None)),
    "norm_num_groups": (int,),
    "attn_norm_num_groups": (int, type(None)),
    "norm_eps": (int, float),
    "resnet_time_scale_shift": (str,),
    "add_attention": (bool,),
    "num_train_timesteps": (int, type(None)),
}


def unet2d_arguments(text: str | None) -> dict[str, Any]:
    """The arguments of UNet2DModel in the setting net.unet2d, {} for None; UsageError for what cannot be."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"net.unet2d is '{str(text)[:60]}', but a JSON object was expected; write {{\"dropout\": 0.1}}"
        )
    for name, value in found.items():
        kinds = _ARGUMENTS.get(name, ())
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            known = f"expected {' or '.join(kind.__name__ for kind in kinds)}" if kinds else "there is none"
            raise UsageError(f"net.unet2d sets {name[:40]} to {str(value)[:40]}, but {known}; leave it out")
        if isinstance(value, int | float) and not 0 <= value <= (_MOST_LAYERS if name == "layers_per_block" else 1e5):
            raise UsageError(f"net.unet2d sets {name} to {value}, which is out of range; give a smaller number")
    return found


class UNet2D(nn.Module):
    """UNet2DModel(sample_size, layers_per_block=2), attention at every level but the first.

    With 1 channel, sample_size 28 and widths (32, 64, 64) this is the chapter's network, 1,707,009 parameters.
    The time code becomes its timestep; without time_conditioning the timestep is always 0, as in the chapter. Where
    spec has classes they are its class labels, with one more for "no class"; where it has conditions, classes and
    numbers are embedded here and the sum is given to it in the place of a class. `arguments`, JSON, holds others of
    UNet2DModel's, as an imported one has.

    References: Ho et al. 2020, DDPM, appendix B, https://arxiv.org/abs/2006.11239
    """

    def __init__(
        self,
        spec: ImageSpec,
        channels: tuple[int, ...] = (32, 64, 64),
        attention: bool = True,
        time_conditioning: bool = True,
        arguments: str | None = None,
    ) -> None:
        more = unet2d_arguments(arguments)
        groups = max(1, more.get("norm_num_groups", 32))
        if not channels or any(width < 1 or width % groups for width in channels):
            raise UsageError(
                f"net.channels is {list(channels)}, but UNet2DModel needs multiples of {groups}; give such widths"
            )
        super().__init__()
        with extra("diffusers", "network unet2d"):
            from diffusers import UNet2DModel

        self.time_conditioning = time_conditioning
        self.null_label = spec.null_label
        self.multiple = 2 ** (len(channels) - 1)
        down, up = ("AttnDownBlock2D", "AttnUpBlock2D") if attention else ("DownBlock2D", "UpBlock2D")
        lower = len(channels) - 1
        given = {
            "layers_per_block": 2,
            "down_block_types": ("DownBlock2D", *[down] * lower),
            "up_block_types": (*[up] * lower, "UpBlock2D"),
            **more,
        }
        try:
            self.unet = UNet2DModel(
                **given,
                sample_size=spec.height if spec.height == spec.width else (spec.height, spec.width),
                in_channels=spec.channels,
                out_channels=spec.channels,
                block_out_channels=channels,
                num_class_embeds=spec.null_label + 1 if spec.classes and not spec.conditions else None,
                class_embed_type="identity" if spec.conditions else None,
            )
        except _REFUSALS as error:
            reason = " ".join(str(error).split())[:120]
            raise UsageError(f"UNet2DModel cannot be built with net.unet2d ({reason}); change it") from error
        width = self.unet.time_embedding.linear_2.out_features
        both = bool(spec.classes and spec.conditions)
        self.label = nn.Embedding(spec.null_label + 1, width) if both else None
        self.numbers = NumberEmbedding(spec.conditions, width) if spec.conditions else None

    @classmethod
    def from_options(cls, options: NetOptions, spec: ImageSpec) -> UNet2D:
        """The network that the run's settings describe, for images of `spec`."""
        return cls(spec, options.channels, options.attention, options.time_conditioning, options.unet2d)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of any size -> the same shape; code (B,) is the timestep, label class and numbers or None."""
        height, width = x.shape[-2:]
        timestep = torch.zeros(x.shape[0], device=x.device) if code is None or not self.time_conditioning else code
        given = self._class_labels(x, label)
        out = self.unet(pad_to_multiple(x, self.multiple), timestep, class_labels=given, return_dict=False)[0]
        return cast(Tensor, out[..., :height, :width])

    def _class_labels(self, x: Tensor, label: Tensor | None) -> Tensor | None:
        """What UNet2DModel takes as class labels: classes (B,), or where there are numbers, an embedding (B, E)."""
        classes = None
        if self.null_label:
            none = torch.full((x.shape[0],), self.null_label, device=x.device)
            classes = none if label is None else classes_of(label)
        if self.numbers is None:
            return classes
        embedding: Tensor = self.numbers(x, label)
        return embedding if self.label is None else embedding + self.label(classes)
