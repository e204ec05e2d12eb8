"""The checkpoints of a run folder by name, and their weights: "ema", "raw", or an average of a chosen length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.run.folder import RunFolder
from fromnoise.settings import TrainOptions
from fromnoise.train.best_checkpoint import best_score
from fromnoise.train.checkpoint import BrokenWeightsError, NewerFormatError, load_weights, read_state
from fromnoise.train.checkpoint_files import list_checkpoints, newest_usable, part, read_checkpoint
from fromnoise.train.posthoc_ema import LONGEST, SHORTEST, reconstruct
from fromnoise.train.snapshot_manifest import AveragesError


def newest_checkpoint(folder: RunFolder) -> Path | None:
    """The checkpoint with the most images seen, None before the first."""
    there = list_checkpoints(folder.checkpoints)
    return there[-1] if there else None


def checkpoint_named(folder: RunFolder, name: str) -> Path:
    """The checkpoint `name`: "last", "best" or images seen; CheckpointError where there is no such checkpoint."""
    there = {path.name.lstrip("0") or "0": path for path in list_checkpoints(folder.checkpoints)}
    if not there:
        raise CheckpointError(f"{folder.path} has no checkpoint yet; train it first with the command that began it")
    best = best_score(folder.checkpoints)
    named = {"last": list(there)[-1]} | ({"best": str(best.images)} if best else {})
    if name not in there and name not in named:
        reason = " (no score was measured when one was written)" if name == "best" else ""
        choices = f"{', '.join(named)} or one of {', '.join(there)}"
        raise CheckpointError(f"{folder.path} has no checkpoint '{name}'{reason}; choose {choices}")
    return there[named.get(name, name)]


def available_weights(weights: str, options: TrainOptions) -> str:
    """`weights`, but "raw" for "ema" where a training with `options` keeps no average."""
    return "raw" if weights == "ema" and not options.use_ema else weights


def load_weights_into(net: nn.Module, folder: RunFolder, name: str, weights: str, options: TrainOptions) -> int:
    """Put the `weights` of the checkpoint `name` into `net`, trained with `options`; returns its images seen.

    "last" is the newest that can be used; what is passed over is said. "ema" is "raw" where no average was kept, and
    "ema:LENGTH" is "ema" where that has this length. Raises UsageError, and CheckpointError for files that do not fit
    or are damaged.
    """
    length = ema_length(weights)

    def load(files: dict[str, bytes]) -> None:
        read_state(files)
        if length is not None and not (options.use_ema and length == options.ema_length):
            reconstruct(net, files, folder.averages, length)
        else:
            raw = available_weights(weights, options) == "raw"
            load_weights(net, part(files, "model.safetensors" if raw else "ema.safetensors"))

    path = checkpoint_named(folder, name)
    if name == "last":
        path, _ = newest_usable(folder.checkpoints, load, (NewerFormatError, BrokenWeightsError, AveragesError))
    else:
        load(read_checkpoint(path))
    return int(path.name)


def newest_state(folder: RunFolder) -> dict[str, Any]:
    """state.json of the newest checkpoint that can be read, {} before the first."""
    if not list_checkpoints(folder.checkpoints):
        return {}
    return newest_usable(folder.checkpoints, read_state, (NewerFormatError,))[1]


def is_finished(folder: RunFolder) -> bool:
    """Whether the run has seen all images of its plan, by its newest checkpoint."""
    state = newest_state(folder)
    return state.get("total") is not None and int(state.get("images", 0)) >= state["total"]


def ema_length(weights: str) -> float | None:
    """LENGTH of "ema:LENGTH", None for "ema" and "raw"; UsageError for anything else, and for a length out of range."""
    if weights in ("ema", "raw"):
        return None
    kind, _, text = weights.partition(":")
    try:
        length = float(text)
    except ValueError:
        kind, length = "", 0.0
    if kind != "ema":
        raise UsageError(f"weights are '{weights}', but expected ema, raw or ema:LENGTH; write such as ema:0.15")
    if not SHORTEST <= length <= LONGEST:
        raise UsageError(
            f"weights are '{weights}', but a length is a share of the training so far from {SHORTEST:g} to "
            f"{LONGEST:g}; write such as ema:0.15"
        )
    return length
