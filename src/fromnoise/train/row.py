"""Many tensors as parts of one row of memory, so that one operation reaches all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def parts(row: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views of `row` (N,), one after the other, each laid out in memory as its tensor in `like`."""
    found, begin = [], 0
    for one in like:
        found.append(row.as_strided(one.shape, torch.empty_like(one).stride(), begin))
        begin += one.numel()
    return found


@torch.no_grad()
def lay_in_row(net: nn.Module) -> None:
    """Move the float32 parameters of `net`, as they are, into one row of memory."""
    weights = [weight for weight in net.parameters() if weight.dtype == torch.float32]
    if not weights:
        return
    row = weights[0].new_empty(sum(weight.numel() for weight in weights))
    for weight, place in zip(weights, parts(row, weights), strict=True):
        weight.data = place.copy_(weight)


def rows_of(*alike: Sequence[Tensor]) -> list[Tensor] | None:
    """The rows that lists of tensors lie in, one after the other; None where not all do, or not laid out alike."""
    if not alike[0] or len({tuple((one.shape, one.stride()) for one in tensors) for tensors in alike}) > 1:
        return None
    rows = []
    for tensors in alike:
        begin = end = tensors[0].data_ptr()
        for one in tensors:
            if one.data_ptr() != end:
                return None
            end += one.nbytes
        room = tensors[0].untyped_storage()
        if end > room.data_ptr() + room.nbytes():
            return None
        rows.append(tensors[0].detach().as_strided(((end - begin) // tensors[0].element_size(),), (1,)))
    return rows
