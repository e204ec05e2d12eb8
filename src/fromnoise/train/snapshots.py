"""What is kept for averages of other lengths: both averages of `posthoc` at a few even moments of training.

    averages/00000512.safetensors   {"0.05": (P,), "0.1": (P,)}, float16: all P parameters after 512 steps, by name

Moments are multiples of a spacing that doubles whenever MOST of them are reached, when every second one goes. So their
number stays between MOST / 2 and MOST whatever the length of a run, and what is there follows from the step alone:
a resumed run has the same files. At most MOST * 2 averages * 2 bytes = 96 bytes a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, UsageError, WriteError
from fromnoise.common.files import write_bytes
from fromnoise.train.checkpoint import load_weights, profile_file, state_of
from fromnoise.train.posthoc import LENGTHS, LONGEST, SHORTEST, coefficients
from fromnoise.train.trainer import Trainer

FIRST, MOST = 32, 24  # steps between the first snapshots, and how many there may be
LARGEST_MISFIT = 0.5  # of a profile: beyond it, an average is not of the length that was asked for


def spacing(step: int) -> int:
    """Steps between the snapshots that are there after `step` steps: FIRST, doubled until no more than MOST fit."""
    gap = FIRST
    while step > MOST * gap:
        gap *= 2
    return gap


def keep(folder: Path, trainer: Trainer) -> None:
    """Write the averages of `trainer` into `folder` where the moment has come, whole or not at all; older ones may go.

    The last moment is the last checkpoint's, which holds them itself. Raises WriteError.
    """
    if not trainer.profiles or trainer.done or trainer.step % spacing(trainer.step):
        return
    content = {
        f"{length:g}": _flat(dict(average.net.named_parameters())).half().cpu()
        for length, average in trainer.profiles.items()
    }
    final = folder / f"{trainer.step:08d}.safetensors"
    advice = "free some space, or train with --no_posthoc_ema"
    write_bytes(final, save(content), durable=True, advice=advice)
    try:
        rewind(folder, trainer.step)
    except OSError as error:
        raise WriteError(f"cannot remove old averages in {folder}: {error.strerror}; {advice}") from error


def rewind(folder: Path, step: int) -> None:
    """Leave in `folder` what belongs there after `step` steps: nothing newer, nothing between, nothing half written."""
    gap = spacing(step)
    wanted = {f"{n:08d}.safetensors" for n in range(gap, step + 1, gap)}
    for path in (*folder.glob("*.safetensors"), *folder.glob(".*.tmp")):
        if path.name not in wanted:
            path.unlink()


def found(folder: Path) -> list[Path]:
    """The snapshots in `folder`, oldest first; none where there is no folder."""
    return sorted((p for p in folder.glob("*.safetensors") if p.stem.isdigit()), key=lambda p: int(p.stem))


def reconstruct(net: nn.Module, files: dict[str, bytes], folder: Path, length: float) -> None:
    """Put the average of `length` at the time of a checkpoint's `files` into `net`: see `fromnoise.train.posthoc`.

    It is made of the checkpoint's own averages and of the snapshots in `folder` before it. Raises UsageError where the
    run has kept none, or too few for this length; CheckpointError for files that cannot be read or do not fit.
    """
    own = {one: files.get(profile_file(one), files.get("ema.safetensors", b"")) for one in LENGTHS}
    if all(profile_file(one) not in files for one in LENGTHS):
        raise UsageError(
            f"ema:{length:g} is made of averages kept while training, and {folder.parent} has kept none "
            "(--no_posthoc_ema, --no_use_ema, or an older fromnoise); use ema or raw, or train again into a new folder"
        )
    end = int(state_of(files)["step"])
    earlier = [path for path in found(folder) if int(path.stem) < end]
    ends = torch.tensor([end, *(int(path.stem) for path in earlier)]).repeat_interleave(len(LENGTHS))
    lengths = torch.tensor(LENGTHS, dtype=torch.float64).repeat(1 + len(earlier))
    x, misfit = coefficients(ends, lengths, end, length)
    if misfit > LARGEST_MISFIT:
        raise UsageError(_too_few(ends, lengths, end, length))
    parameters = dict(net.named_parameters())
    shares = x.reshape(-1, len(LENGTHS))
    total = torch.zeros(sum(p.numel() for p in parameters.values()), dtype=torch.float64)
    try:
        for share, one in zip(shares[0], LENGTHS, strict=True):
            weights = load(own[one])
            total.add_(_flat({name: weights[name] for name in parameters}), alpha=float(share))
        for path, row in zip(earlier, shares[1:], strict=True):
            kept = load(path.read_bytes())
            for share, one in zip(row, LENGTHS, strict=True):
                total.add_(kept[f"{one:g}"], alpha=float(share))
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the averages kept in {folder} cannot be put together ({error}); use --weights ema or raw"
        ) from error
    load_weights(net, save({**load(own[LENGTHS[0]]), **_named(total, parameters)}))


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """All values in one row, (P,), in the order of the names."""
    return torch.cat([tensors[name].detach().reshape(-1) for name in sorted(tensors)])


def _named(row: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `_flat` made a row of, with the shapes and types of `like`."""
    names = sorted(like)
    pieces = torch.split(row, [like[name].numel() for name in names])
    return {
        name: piece.reshape(like[name].shape).to(like[name].dtype) for name, piece in zip(names, pieces, strict=True)
    }


def _too_few(ends: Tensor, lengths: Tensor, end: int, length: float) -> str:
    """The refusal of `length`, with the lengths that can be had from so few averages."""
    fits = [n / 100 for n in range(round(100 * SHORTEST), round(100 * LONGEST) + 1)]
    fits = [one for one in fits if coefficients(ends, lengths, end, one)[1] <= LARGEST_MISFIT]
    return (
        f"the {len(ends)} averages kept in {end:,} steps of training do not make one of length {length:g}; "
        f"use {fits[0]:g} to {fits[-1]:g}, or train for longer"
    )
