"""DINOv2 features: of a self-supervised vision transformer, closer to human judgement than Inception features.

Oquab et al. 2023, https://arxiv.org/abs/2304.07193; as a space for Fréchet distances, Stein et al. 2023,
https://arxiv.org/abs/2306.04675. The class token after the last normalisation, of images resized to 224x224 and
normalised with ImageNet's mean and standard deviation. Needs the extra "dino" (transformers) and weights: a folder as
the Hub keeps them (config.json, model.safetensors).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.extras import extra
from fromnoise.common.memory import BatchLimit
from fromnoise.common.text import first_line
from fromnoise.data.download import offline, within_reach
from fromnoise.data.rows import Pixels
from fromnoise.metrics.checks import hash_of
from fromnoise.metrics.features import Features
from fromnoise.metrics.inception import rgb

NAME = "facebook/dinov2-small"  # 22 M parameters, 384 features
HUB = "https://huggingface.co"
SIDE = 224
_AT_ONCE = 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def recipe_hash() -> str:
    """Sixteen hex digits that change with the way images are prepared."""
    about = {"version": 1, "side": SIDE, "resize": "bicubic, antialiased", "mean": _MEAN, "std": _STD, "token": "class"}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def dinov2(weights: str | Path | None = None) -> Features:
    """The feature space "dinov2", 384 dimensions with the default weights.

    Arguments:
        weights: a folder of them, else the Hub's facebook/dinov2-small, cached or downloaded.

    Raises:
        UsageError: without the extra "dino".
        DataError: for weights that are missing or not those of DINOv2.

    References:
        Oquab et al. 2023, https://arxiv.org/abs/2304.07193
    """
    with extra("dino", "feature space dinov2"):
        from transformers import Dinov2Model
    if weights is not None and not (Path(weights) / "config.json").is_file():
        raise DataError(f"{weights} is not a folder with config.json and weights; give one as the Hub keeps {NAME}")
    source = NAME if weights is None else str(weights)
    at_hand = (
        weights is not None or offline() or not within_reach(HUB)
    )  # else the library tries to reach it for a minute
    try:
        net = Dinov2Model.from_pretrained(source, local_files_only=at_hand, use_safetensors=True).eval()
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(
            f"DINOv2 could not be read from {source} ({first_line(error)}); give --feature_weights FOLDER "
            f"with the files of {NAME}, or measure in the features 'domain', which need no download"
        ) from error
    about = "DINOv2, a self-supervised network of photographs"
    return Features(
        "dinov2", about, net.config.hidden_size, recipe_hash(), hash_of(net)[:16], lambda images: _features(net, images)
    )


@torch.no_grad()
def _features(net: Any, images: Pixels) -> Tensor:
    """float32 (N, width) on the CPU for uint8 images (N, C, H, W) of 1, 3 or 4 channels."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    def part(rows: slice) -> Tensor:
        x = rgb(images[rows].cpu()).float() / 255
        x = F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
        found: Tensor = net(pixel_values=(x - mean) / std).last_hidden_state[:, 0].float()
        return found

    return BatchLimit(_AT_ONCE).map(part, len(images))
