"""What a checkpoint holds: the whole state of a `Trainer`, as safetensors and JSON.

model.safetensors       the weights
ema.safetensors         their running average, where there is one
ema-0.05.safetensors    the other averages of `posthoc_ema`
optimizer.safetensors   moments and step counts, by parameter number: "12.exp_avg"
state.json              steps, images seen, images planned, skipped steps, training seconds, losses not logged yet
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError
from fromnoise.train.best_checkpoint import prune_checkpoints
from fromnoise.train.checkpoint_files import write_checkpoint
from fromnoise.train.trainer import Trainer

FORMAT = 1


class BrokenWeightsError(CheckpointError):
    """Weights of a checkpoint that are not finite: all they can make is black images."""


def save_checkpoint(folder: Path, trainer: Trainer, seconds: float, keep: int) -> Path:
    """Write the state of `trainer` as `folder`/<images seen>, and delete older checkpoints.

    Arguments:
        seconds: training time so far.
        keep: how many of the newest stay; the best one stays besides.

    Raises:
        WriteError: the checkpoint cannot be written.
    """
    averages = {average_file(length): average for length, average in trainer.averages.others.items()}
    if trainer.averages.ema:
        averages["ema.safetensors"] = trainer.averages.ema
    files = {
        "model.safetensors": save(_weights(trainer.net)),
        "optimizer.safetensors": save(_optimizer_tensors(trainer.optimizer)),
        **{name: save(_weights(average.net)) for name, average in averages.items()},
    }
    state = {
        "format": FORMAT,
        "step": trainer.step,
        "images": trainer.images,
        "total": trainer.total,
        "skipped": trainer.losses.skipped,
        "seconds": seconds,
        "log": trainer.log_state,
    }
    files["state.json"] = json.dumps(state, indent=1).encode()
    path = write_checkpoint(folder, trainer.images, files)
    prune_checkpoints(folder, keep)
    return path


def read_state(files: dict[str, bytes]) -> dict[str, Any]:
    """state.json of a checkpoint's files; CheckpointError where a newer fromnoise wrote it."""
    state: dict[str, Any] = json.loads(files["state.json"])
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"this checkpoint has format {state['format']}, but this fromnoise reads up to {FORMAT}; update fromnoise"
        )
    return state


def restore_trainer(files: dict[str, bytes], trainer: Trainer) -> float:
    """Put a checkpoint's files into `trainer`; returns the training seconds before it. Raises CheckpointError."""
    state, averages = read_state(files), trainer.averages
    load_weights(trainer.net, files["model.safetensors"])
    if averages.ema:
        load_weights(averages.ema.net, files["ema.safetensors"])
    if any(average_file(length) not in files for length in averages.others):
        averages.posthoc = {}  # the run began without them, and an average of its rest would be wrong
    for length, average in averages.others.items():
        load_weights(average.net, files[average_file(length)])
    _restore_optimizer(trainer.optimizer, load(files["optimizer.safetensors"]))
    trainer.step, trainer.images = state["step"], state["images"]
    trainer.total, trainer.losses.skipped = state["total"] or trainer.total, state["skipped"]
    trainer.log_state = state.get("log", {})
    return float(state["seconds"])


def average_file(length: float) -> str:
    """The file of the average of `length` from which others are made: "ema-0.05.safetensors"."""
    return f"ema-{length:g}.safetensors"


def load_weights(net: nn.Module, content: bytes) -> None:
    """Load the bytes of a safetensors file into `net`, name by name.

    Raises CheckpointError if they do not fit, BrokenWeightsError if NaN or infinity is among them.
    """
    try:
        weights = load(content)
        net.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights do not fit the network of config.json ({reason[:160]}); they belong to another version or "
            "another network, so train again into a new folder"
        ) from error
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise BrokenWeightsError(
            "the checkpoint's weights are not finite, so nothing can be sampled with them; choose an earlier one with "
            "--checkpoint, or train again into a new folder with a lower --learning_rate"
        )


def _weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value.detach().cpu().contiguous() for i, row in state.items() for name, value in row.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, row in optimizer.state.items():
        for name, value in row.items():
            if value.shape == parameter.shape:
                # The fused kernels walk memory, so moments must be laid out as their parameter is (channels last).
                row[name] = torch.empty_like(parameter).copy_(value)
