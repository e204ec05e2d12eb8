"""A diffusion transformer: patches become tokens, and every block is conditioned on time and class.

    h <- h + gate1 * attention((1 + scale1) norm(h) + shift1)
    h <- h + gate2 * mlp((1 + scale2) norm(h) + shift2)

All six come from the embedding through one layer that starts at zero (adaLN-Zero): so each block starts as the
identity, and as the last layer starts at zero too, the network's first output is zero.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.nets.blocks import Embedding, fold_factor, pad_to_multiple
from fromnoise.nets.modulation import Vectors
from fromnoise.settings import NetOptions

_HEAD = 32  # channels of an attention head, where the width allows


def positions(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """Fixed sines and cosines of row and column, float32 (rows * columns, width); width divides by 4."""
    rates = torch.exp(-math.log(100.0) * torch.arange(width // 4, device=device) / (width // 4))
    down = torch.arange(rows, device=device)[:, None] * rates
    right = torch.arange(columns, device=device)[:, None] * rates
    vertical = torch.cat([down.sin(), down.cos()], dim=1)[:, None].expand(-1, columns, -1)
    horizontal = torch.cat([right.sin(), right.cos()], dim=1)[None].expand(rows, -1, -1)
    return torch.cat([vertical, horizontal], dim=2).flatten(0, 1)


class DiTBlock(nn.Module):
    """Attention and a two-layer perceptron on tokens, conditioned on the embedding; the identity at the start."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.heads = max(1, width // _HEAD)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.condition = Vectors(embedding, width, pieces=6)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Tokens (B, N, width) and embedding (B, E) -> (B, N, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.condition(embedding)[:, None].chunk(6, dim=2)
        h = h + gate1 * self._attend(self.norm(h) * (1 + scale1) + shift1)
        return cast(Tensor, h + gate2 * self.mlp(self.norm(h) * (1 + scale2) + shift2))

    def _attend(self, h: Tensor) -> Tensor:
        batch, tokens, width = h.shape
        parts = self.qkv(h).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts)
        return cast(Tensor, self.out(mixed.transpose(1, 2).reshape(batch, tokens, width)))


class DiT(nn.Module):
    """Patches -> width channels a token -> `depth` blocks -> patches, conditioned on time and class.

    Without classes in `spec` there is no class conditioning. A patch is as large as what our U-Net
    folds. width must divide by 4, and by the number of heads (one for each 32 channels); UsageError otherwise.

    References: Peebles & Xie 2023, DiT, https://arxiv.org/abs/2212.09748
    """

    def __init__(self, spec: ImageSpec, width: int = 128, depth: int = 6, time_conditioning: bool = True) -> None:
        super().__init__()
        if width % 4 or width % max(1, width // _HEAD):
            raise UsageError(f"net.width is {width}, but a DiT needs a multiple of {_HEAD}; give such a width")
        self.patch = fold_factor(spec)
        self.embed = Embedding(spec, 4 * width, time_conditioning)
        pixels = spec.channels * self.patch**2
        self.enter = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(DiTBlock(width, 4 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.condition = Vectors(4 * width, width, pieces=2)
        self.leave = nn.Linear(width, pixels)
        for layer in (self.condition, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @classmethod
    def from_options(cls, options: NetOptions, spec: ImageSpec) -> DiT:
        """The network that the run's settings describe, for images of `spec`."""
        return cls(spec, options.width, options.depth, options.time_conditioning)

    def forward(self, x: Tensor, code: Tensor | None = None, label: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) of any size, code (B,), label (B,) or None -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        embedding = self.embed(x, code, label)
        folded = F.pixel_unshuffle(pad_to_multiple(x, self.patch), self.patch)
        rows, columns = folded.shape[-2:]
        h = self.enter(folded.flatten(2).transpose(1, 2))
        h = h + positions(rows, columns, h.shape[-1], h.device).to(h.dtype)
        for block in self.blocks:
            h = block(h, embedding)
        shift, scale = self.condition(embedding)[:, None].chunk(2, dim=2)
        patches = self.leave(self.norm(h) * (1 + scale) + shift).transpose(1, 2)
        return F.pixel_shuffle(patches.unflatten(2, (rows, columns)), self.patch)[..., :height, :width]
