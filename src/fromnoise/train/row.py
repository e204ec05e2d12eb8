"""Many tensors as parts of one row of memory, so that one operation reaches all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def parts(row: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of `row` (N,), one after the other, each laid out in memory as its tensor in `like`."""
    found, begin = [], 0
    for one in like:
        found.append(row.as_strided(one.shape, torch.empty_like(one).stride(), begin))
        begin += one.numel()
    return found
