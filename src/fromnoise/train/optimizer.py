"""Adam, AdamW or Muon, set up so that a step can be captured and can skip its update on the device."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from fromnoise.settings import TrainOptions
from fromnoise.train.distributed import ALONE, Group
from fromnoise.train.muon import Muon
from fromnoise.train.shared_muon import shared_orthogonal


def build_optimizer(net: nn.Module, options: TrainOptions, group: Group = ALONE) -> torch.optim.Optimizer:
    """The optimizer that `options` name, for all parameters of `net`; the processes of `group` may share its work."""
    betas = (0.9, options.adam_beta2)
    if options.optimizer == "muon":
        muon = Muon(net, options.learning_rate, betas, options.weight_decay, options.momentum)
        if group.world > 1 and next(net.parameters()).device.type == "cpu":  # a GPU is faster than the exchange
            muon.orthogonal = partial(shared_orthogonal, group)
        return muon
    # fused: only these kernels read `found_inf`. capturable: the step count lives on the GPU, for a CUDA graph.
    gpu = next(net.parameters()).is_cuda
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr=options.learning_rate, betas=betas, fused=True, capturable=gpu)
        if options.optimizer == "adam"
        else torch.optim.AdamW(
            net.parameters(),
            lr=options.learning_rate,
            betas=betas,
            weight_decay=options.weight_decay,
            fused=True,
            capturable=gpu,
        )
    )
    # torch warns of capturable optimizers in eager steps, which the first ones and those of odd batches are.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer
