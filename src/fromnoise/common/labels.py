"""What images are conditioned on, as a network takes it: one tensor `label`, whose first axis counts images.

    int64 (B,)             the class
    float32 (B, 1 + K)     the class, then K numbers such as slant; NaN is a number that is not known
    float32 (B, 2 + K)     and the guidance scale, for a network that takes it as an input; without it, and for NaN, 1

Without classes the first column is 0. Every part passes such a tensor on, slices and joins it without looking inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def joined(classes: Tensor | None, numbers: Tensor | None) -> Tensor | None:
    """The label of classes, int64 (B,) or None, and numbers, float32 (B, K) or None."""
    if numbers is None:
        return classes
    first = torch.zeros_like(numbers[:, :1]) if classes is None else classes[:, None].to(numbers)
    return torch.cat([first, numbers], dim=1)


def classes_of(label: Tensor) -> Tensor:
    """The classes in `label`, int64 (B,)."""
    return label if label.ndim == 1 else label[:, 0].long()


def numbers_of(label: Tensor, count: int) -> Tensor:
    """The numbers in `label`, float32 (B, `count`): all unknown where it holds a class alone."""
    if label.ndim == 2:
        return label[:, 1 : 1 + count]
    return torch.full((label.shape[0], count), torch.nan, device=label.device)


def with_guidance(label: Tensor, scale: Tensor, count: int) -> Tensor:
    """`label`, of `count` numbers, with the guidance scales (B,) behind them."""
    return torch.cat([classes_of(label)[:, None].float(), numbers_of(label, count), scale[:, None].float()], dim=1)


def guidance_of(label: Tensor | None, count: int) -> Tensor | None:
    """The guidance scales (B,) in `label`, of `count` numbers; None where it holds none, and all are 1."""
    if label is None or label.ndim == 1 or label.shape[1] < 2 + count:
        return None
    return label[:, 1 + count].nan_to_num(1.0)


def unconditional(label: Tensor, null_label: int) -> Tensor:
    """A label like `label` that holds nothing: no class, and no number."""
    if label.ndim == 1:
        return torch.full_like(label, null_label)
    return torch.cat([torch.full_like(label[:, :1], null_label), torch.full_like(label[:, 1:], torch.nan)], dim=1)


def dropped(label: Tensor, drop: Tensor, null_label: int) -> Tensor:
    """`label`, but nothing for the images of `drop`, bool (B,)."""
    if label.ndim == 1:
        return torch.where(drop, null_label, label)
    return torch.where(drop[:, None], unconditional(label, null_label), label)


def by_name(label: Tensor | None, names: Sequence[str]) -> dict[str, list[Any]]:
    """The numbers in `label` by their names; {} where there are none."""
    if label is None or label.ndim == 1:
        return {}
    return dict(zip(names, label[:, 1:].T.tolist(), strict=True))
