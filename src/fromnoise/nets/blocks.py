"""Pieces that several networks share: time embedding, padding, residual blocks without normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.common.labels import classes_of, guidance_of, numbers_of
from fromnoise.nets.modulation import Vectors, modulated


def fold_factor(spec: ImageSpec) -> int:
    """How many pixels are folded into channels along each side: 2 up to 40 pixels, then 4, then 8, ..."""
    fold = 2
    while min(spec.height, spec.width) / fold > 20:
        fold *= 2
    return fold


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """x (B, C, H, W) with edge pixels repeated to the right and below until both sides divide by `multiple`.

    Undo it with `[..., :H, :W]`: so a network that halves its input takes any size.
    """
    down, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time code, then two linear layers (Ho et al. 2020, after Vaswani et al. 2017).

    code (B,), nominally 0..1000 -> (B, width).

    References: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    """

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 64) -> None:
        super().__init__()
        periods = torch.exp(-math.log(10_000) * torch.arange(waves // 2) / (waves // 2))
        self.register_buffer("frequencies", periods, persistent=False)
        self.layers = nn.Sequential(nn.Linear(waves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, code: Tensor) -> Tensor:
        """(B,) -> (B, width)."""
        angles = code.float()[:, None] * self.frequencies
        return cast(Tensor, self.layers(torch.cat([angles.cos(), angles.sin()], dim=1)))


class NumberEmbedding(nn.Module):
    """Numbers that images are conditioned on, standardised, then two linear layers.

    Each goes in as (z, 0), or (0, 1) where it is not known: what is learned for that 1 stands for its absence.
    (B, K) -> (B, width).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, conditions: Sequence[Condition], width: int) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor([getattr(one, name) for one in conditions], dtype=torch.float32)
            self.register_buffer(name, values, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * len(conditions), width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """The numbers of label (B, 1 + K), none of which is known in (B,) or None, for x (B, ...) -> (B, width)."""
        if label is None:
            label = torch.zeros(x.shape[0], device=x.device)
        numbers = numbers_of(label, len(self.mean))
        absent = numbers.isnan()
        standardised = torch.where(absent, 0.0, (numbers - self.mean) / self.std)
        return cast(Tensor, self.layers(torch.cat([standardised, absent.to(standardised.dtype)], dim=1)))


class GuidanceEmbedding(nn.Module):
    """ln(w) times two linear layers of ln(w), for guidance scales w: nothing at w = 1, and at first at all w.

    (B,) -> (B, width).

    References: Meng et al. 2023, a guidance scale as input, https://arxiv.org/abs/2210.03142
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        last = cast(nn.Linear, self.layers[2])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, scale: Tensor) -> Tensor:
        """(B,) -> (B, width)."""
        strength = scale.log()[:, None]
        return cast(Tensor, strength * self.layers(strength))


class Embedding(nn.Module):
    """The conditioning of a network, in one vector: silu(time + class + numbers + guidance scale).

    Labels are as in `fromnoise.common.labels`; the class spec.null_label is "no class". None stands for no class and
    for numbers that are not known. Without time_conditioning every time is 0; without classes these are ignored.
    """

    def __init__(self, spec: ImageSpec, width: int, time_conditioning: bool) -> None:
        super().__init__()
        self.time_conditioning, self.null_label = time_conditioning, spec.null_label
        self.time = TimeEmbedding(width)
        self.label = nn.Embedding(spec.null_label + 1, width) if spec.classes else None
        self.numbers = NumberEmbedding(spec.conditions, width) if spec.conditions else None
        self.count = len(spec.conditions)
        self.guidance = GuidanceEmbedding(width) if spec.guidance_input else None

    def scales(self, label: Tensor | None) -> Tensor | None:
        """The guidance scales (B,) in `label` where the network takes them; None where all are 1."""
        return None if self.guidance is None else guidance_of(label, self.count)

    def forward(self, x: Tensor, code: Tensor | None, label: Tensor | None) -> Tensor:
        """code (B,) or None and label or None, for x (B, ...) -> (B, width)."""
        if code is None or not self.time_conditioning:
            code = torch.zeros(x.shape[0], device=x.device)
        embedding = self.time(code)
        if self.label is not None:
            none = torch.full((x.shape[0],), self.null_label, device=x.device)
            own = self.label(none if label is None else classes_of(label))
            embedding = embedding + own
        if self.numbers is not None:
            embedding = embedding + self.numbers(x, label)
        if self.guidance is not None and (scale := self.scales(label)) is not None:
            embedding = embedding + self.guidance(scale)
            if self.label is not None:  # the class as guidance has it: no class + scale (class - no class)
                embedding = embedding + (scale - 1)[:, None] * (own - self.label(none))
        return F.silu(embedding)


class ResidualBlock(nn.Module):
    """x + conv2(silu(conv1(silu(x)) * (1 + scale) + shift)), scale and shift from the embedding; no normalisation.

    conv2 and the embedding's layer start at zero, so the block starts as the identity and depth costs nothing
    at first. Group normalisation would take about half of a CPU's step time here.

    References: Zhang et al. 2019, Fixup, https://arxiv.org/abs/1901.09321
    """

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.condition = Vectors(embedding, width, pieces=2)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(cast(Tensor, self.conv2.bias))
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, width, H, W), what `condition` makes of the embedding (B, 2 width) -> (B, width, H, W)."""
        h = modulated(self.conv1(F.silu(x)), *condition.chunk(2, dim=1))
        return cast(Tensor, x + self.conv2(F.silu(h)))


def conditions(blocks: Iterable[ResidualBlock], embedding: Tensor) -> tuple[Tensor, ...]:
    """`condition(embedding)` of each block, for embedding (B, E): one product, as many small ones cost more."""
    layers = [block.condition for block in blocks]
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    found = F.linear(embedding, weight, bias).split([layer.out_features for layer in layers], dim=1)
    return cast(tuple[Tensor, ...], found)


def in_bounds(x: Tensor, low: float, high: float) -> Tensor:
    """x clipped to [low, high], with the gradient of x itself.

    The mean of images lies in their range, so that the clipped output has the same optimum under a squared error. But
    what is black in every image may now be predicted anywhere below black, without an error that pulls it back: a
    network that is only nearly exact ends up exactly black, and not in equal parts a little above and below. Where an
    image is not black, the error at the bound still pulls the output back inside.
    """
    clipped = x.clamp(low, high)
    return x + (clipped - x).detach() if torch.is_grad_enabled() else clipped
