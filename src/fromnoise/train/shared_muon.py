"""Muon's matrices made orthogonal by many processes: each matrix by one of them, which sends it to the others.

On a CPU this is most of an optimizer's work, and its cost for each weight grows with the matrix's short side; that of
the exchange does not. The result is that of one process but for rounding, and the same in all processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fromnoise.train.distributed import Group
from fromnoise.train.muon import orthogonal


def shared_orthogonal(group: Group, stacks: Sequence[Tensor]) -> list[Tensor]:
    """`orthogonal` of stacks (N, rows, cols), which all processes of `group` have."""
    row = torch.zeros(sum(stack.numel() for stack in stacks), dtype=stacks[0].dtype)
    places = [
        part.view(stack.shape)
        for stack, part in zip(stacks, torch.split(row, [stack.numel() for stack in stacks]), strict=True)
    ]
    mine = shares([tuple(stack.shape) for stack in stacks], group.world)[group.rank]
    own = {i: numbers for i, numbers in enumerate(mine) if numbers}
    found = orthogonal([stacks[i][numbers] for i, numbers in own.items()]) if own else []
    for (i, numbers), matrices in zip(own.items(), found, strict=True):
        places[i][numbers] = matrices
    group.sum_(row)  # each matrix is zero in all processes but one
    return places


def shares(shapes: Sequence[tuple[int, ...]], world: int) -> list[list[list[int]]]:
    """For each process, for each stack of shape (N, rows, cols), the numbers of the matrices that it computes.

    The most expensive matrices first, each to the process that has least to do.
    """
    cost = [min(rows, cols) ** 2 * (2 * max(rows, cols) + 20 * min(rows, cols)) for _, rows, cols in shapes]
    matrices = [(cost[i], i, number) for i, shape in enumerate(shapes) for number in range(shape[0])]
    found: list[list[list[int]]] = [[[] for _ in shapes] for _ in range(world)]
    work = [0] * world
    for one, i, number in sorted(matrices, key=lambda matrix: -matrix[0]):
        least = work.index(min(work))
        work[least] += one
        found[least][i].append(number)
    return found
