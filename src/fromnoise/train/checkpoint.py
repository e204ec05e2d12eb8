"""What a checkpoint holds: the whole state of a `Trainer`, as safetensors and JSON.

model.safetensors       the weights
ema.safetensors         their running average, where there is one
ema-0.05.safetensors    the other averages of `posthoc_ema`
optimizer.safetensors   moments and step counts, by parameter number: "12.exp_avg"
NAME.safetensors        of a network that is trained beside it, and NAME-optimizer.safetensors: see `Trainer.companions`
state.json              steps, images seen, images planned, skipped steps, seconds, threads, losses not logged yet

Formats: 3 has such a network, without which training would go on as another, so that only who knows of it reads it; in
2, averages/ of the run has a manifest (`fromnoise.train.posthoc_ema`); in 1 it had none.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError
from fromnoise.common.stored_json import parse_object
from fromnoise.common.threads import THREADS
from fromnoise.train.best_checkpoint import prune_checkpoints
from fromnoise.train.checkpoint_files import list_checkpoints, newest_usable, part, set_aside, write_checkpoint
from fromnoise.train.optimizer_state import optimizer_tensors, restore_optimizer
from fromnoise.train.trainer import Trainer

FORMAT = 3  # the newest that is read


class BrokenWeightsError(CheckpointError):
    """Weights of a checkpoint that are not finite: all they can make is black images."""


class NewerFormatError(CheckpointError):
    """A checkpoint that a newer fromnoise wrote: it is not damaged, so an older one does not take its place."""


def save_checkpoint(folder: Path, trainer: Trainer, seconds: float, keep: int) -> Path:
    """Write the state of `trainer` as `folder`/<images seen>, and delete older checkpoints.

    Arguments:
        seconds: training time so far.
        keep: how many of the newest stay; the best one stays besides.

    Raises:
        WriteError: the checkpoint cannot be written.
    """
    path = write_checkpoint(folder, trainer.images, state_files(trainer, seconds))
    prune_checkpoints(folder, keep)
    return path


def state_files(trainer: Trainer, seconds: float) -> dict[str, bytes]:
    """The files of a checkpoint: the state of `trainer`, whatever the number of processes."""
    averages = {average_file(length): average for length, average in trainer.averages.others.items()}
    if trainer.averages.ema:
        averages["ema.safetensors"] = trainer.averages.ema
    files = {
        "model.safetensors": save(_weights(trainer.net)),
        "optimizer.safetensors": save(optimizer_tensors(trainer.optimizer)),
        **{name: save(_weights(average.net)) for name, average in averages.items()},
    }
    for name, (net, optimizer) in trainer.companions.items():
        files[f"{name}.safetensors"] = save(_weights(net))
        files[f"{name}-optimizer.safetensors"] = save(optimizer_tensors(optimizer))
    state = {
        "format": FORMAT if trainer.companions else 2,
        "step": trainer.step,
        "images": trainer.images,
        "total": trainer.total,
        "skipped": trainer.losses.skipped,
        "seconds": seconds,
        "log": trainer.log_state,
        "more": trainer.more_state,
        "threads": 0 if THREADS.shared else THREADS.number,  # 0: nothing for another number of processes
        "threads_fixed": THREADS.fixed and not THREADS.shared,
    }
    files["state.json"] = json.dumps(state, indent=1).encode()
    return files


def share_state(trainer: Trainer, seconds: float) -> float:
    """Give `trainer` in all processes the state that it has in process 0; returns the training seconds there."""
    group = trainer.group
    if group.world == 1:
        return seconds
    files = group.broadcast(state_files(trainer, seconds) if group.rank == 0 else {})
    return restore_trainer(files, trainer)


def finite(trainer: Trainer) -> bool:
    """Whether all weights and averages of `trainer` are finite."""
    averages = [average.net for average in (trainer.averages.ema, *trainer.averages.others.values()) if average]
    nets = [trainer.net, *averages, *(net for net, _ in trainer.companions.values())]
    return all(bool(value.isfinite().all()) for net in nets for value in net.state_dict().values())


def read_state(files: dict[str, bytes]) -> dict[str, Any]:
    """state.json of a checkpoint's files; CheckpointError where it is damaged, or a newer fromnoise wrote it."""
    content = part(files, "state.json")
    try:
        state = parse_object(content)
        if isinstance(state.get("format"), int) and state["format"] > FORMAT:
            raise NewerFormatError(
                f"this checkpoint has format {state['format']}, but this fromnoise reads up to {FORMAT}; update "
                "fromnoise"
            )
        state = {"images": 0, "total": None, "skipped": 0, "seconds": 0.0, "threads": 0, "more": {}, **state}
        counts = ("format", "step", "images", "skipped", "threads")
        for name in (*counts, *(["total"] if state["total"] is not None else [])):
            _check_count(name, state.get(name))
        if not isinstance(state["seconds"], int | float) or not math.isfinite(state["seconds"]):
            raise ValueError(f"seconds is {str(state['seconds'])[:40]}")
        if not isinstance(state["more"], dict):
            raise ValueError(f"more is {str(state['more'])[:40]}")
        for name, value in state["more"].items():
            _check_count(name[:40], value)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"the checkpoint's state.json is damaged ({error}); use another checkpoint") from error
    return state


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is {str(value)[:40]}, but expected a count")


def restore_trainer(files: dict[str, bytes], trainer: Trainer) -> float:
    """Put a checkpoint's files into `trainer`; returns the training seconds before it. Raises CheckpointError."""
    state, averages = read_state(files), trainer.averages
    load_weights(trainer.net, part(files, "model.safetensors"))
    if averages.ema:
        load_weights(averages.ema.net, part(files, "ema.safetensors"))
    there = all(average_file(length) in files for length in averages.others)
    for length, average in averages.others.items() if there else ():
        load_weights(average.net, files[average_file(length)])
    restore_optimizer(trainer.optimizer, part(files, "optimizer.safetensors"))
    if not there:
        averages.posthoc = {}  # the run began without them, and an average of its rest would be wrong
    trainer.step, trainer.images = state["step"], state["images"]
    trainer.total, trainer.losses.skipped = state["total"] or trainer.total, state["skipped"]
    trainer.log_state, trainer.more_state = state.get("log", {}), dict(state["more"])
    for name, (net, optimizer) in trainer.companions.items():  # which they are follows from the state
        load_weights(net, part(files, f"{name}.safetensors"))
        restore_optimizer(optimizer, part(files, f"{name}-optimizer.safetensors"), f"{name}-optimizer.safetensors")
    THREADS.take_up(state["threads"], state.get("threads_fixed") is True)
    return float(state["seconds"])


def restore_newest(folder: Path, trainer: Trainer, *, rename_damaged: bool = True) -> float | None:
    """Put the newest checkpoint in `folder` that can be used into `trainer`, and rename newer ones, which are damaged.

    Returns the training seconds before it, None where there are no checkpoints. Only for who holds the run's lock.
    Raises CheckpointError where none can be used, or a newer fromnoise wrote one.
    """
    if not list_checkpoints(folder):
        return None
    path, seconds = newest_usable(folder, lambda files: restore_trainer(files, trainer), (NewerFormatError,))
    if rename_damaged:
        set_aside(folder, int(path.name))
    return seconds


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
            "--checkpoint, or train again into a new folder with a lower learning rate"
        )


def _weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
