"""Which weights of a checkpoint are asked for: the average ("ema"), the raw ones, or an average of a chosen length."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fromnoise.common.errors import UsageError
from fromnoise.settings import TrainOptions
from fromnoise.train import checkpoint, snapshots
from fromnoise.train.posthoc import LONGEST, SHORTEST


def length_of(weights: str) -> float | None:
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


def put(weights: str, net: nn.Module, files: dict[str, bytes], options: TrainOptions, averages: Path) -> None:
    """Put the `weights` of a checkpoint's `files`, trained with `options`, into `net`; averages: the snapshots' folder.

    "ema" is "raw" where no average was kept, and "ema:LENGTH" is "ema" where that has this length. Raises UsageError,
    and CheckpointError for files that do not fit or are damaged.
    """
    length, averaged = length_of(weights), "ema.safetensors" in files
    if length is not None and not (averaged and length == options.ema_length):
        snapshots.reconstruct(net, files, averages, length)
        return
    checkpoint.load_weights(net, files["ema.safetensors" if weights != "raw" and averaged else "model.safetensors"])
