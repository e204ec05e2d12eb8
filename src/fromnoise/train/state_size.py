"""How many bytes the state of a training takes, in memory and on the disk, before there is one.

memory      weights + gradients + optimizer + averages       what a step computes comes besides
checkpoint  weights + optimizer + averages                   in float32, as they are in memory
            and weights, gradients and optimizer of each network that is trained beside it, until the end
            and the weights of each that is only looked at, in memory alone
snapshots   2 bytes * parameters * 2 averages each           see `fromnoise.train.posthoc_ema`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fromnoise.settings import TrainOptions
from fromnoise.train.averages import POSTHOC_LENGTHS
from fromnoise.train.optimizer import build_optimizer
from fromnoise.train.snapshot_manifest import MAX_SNAPSHOTS, spacing

_HEADERS = 64  # bytes for each tensor's name and place in a safetensors file


@dataclass(frozen=True)
class StateSize:
    """Bytes: memory of a training beyond what a step computes, one checkpoint, one snapshot of the averages."""

    memory: int
    checkpoint: int
    snapshot: int


def state_size(net: nn.Module, options: TrainOptions, beside: int = 0, fixed: int = 0) -> StateSize:
    """The sizes for the network `net` trained with `options`, `beside` others like it, and `fixed` that do not move."""
    weights = list(net.state_dict().values())
    parameters = list(net.parameters())
    lengths = {options.ema_length, *(POSTHOC_LENGTHS if options.posthoc_ema else ())} if options.use_ema else set()
    optimizer, tensors = _optimizer(net, options)
    own, averages = _bytes(weights), len(lengths) * _bytes(weights)
    headers = _HEADERS * ((1 + beside) * tensors + (1 + beside + len(lengths)) * len(weights))
    trained = (1 + beside) * (own + optimizer)
    snapshot = 2 * len(POSTHOC_LENGTHS) * sum(p.numel() for p in parameters) if len(lengths) > 1 else 0
    gradients = (1 + beside) * _bytes(parameters)
    return StateSize(trained + gradients + averages + fixed * own, trained + averages + headers, snapshot)


def snapshots_after(steps: int | None) -> int:
    """How many snapshots of the averages there are after `steps`; the most there may be where that is not known."""
    return MAX_SNAPSHOTS if steps is None else max(0, steps - 1) // spacing(steps)


def _optimizer(net: nn.Module, options: TrainOptions) -> tuple[int, int]:
    """(bytes, tensors) of the optimizer's state: one moment of Muon's matrices, two and a step count of all else."""
    size = tensors = 0
    for group in build_optimizer(net, options).param_groups:
        moments, count = (1, 0) if group.get("muon") else (2, 1)
        size += moments * _bytes(group["params"]) + 4 * count * len(group["params"])
        tensors += (moments + count) * len(group["params"])
    return size, tensors


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
