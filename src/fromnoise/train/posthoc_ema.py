"""The length of the weight average, chosen after training (Karras et al. 2024a, "EDM2", section 3.2).

An average over steps (0, T] weighs the weights at time tau by its profile; `Ema` does so exactly, step by step:

    p(tau) = (gamma + 1) tau^gamma / T^(gamma + 1) for 0 < tau <= T, else 0

Two averages of fixed lengths are updated while training and saved now and then, each at its own time:

    averages/00000512.safetensors   {"0.05": (P,), "0.1": (P,)}, float16: all P parameters after 512 steps, by name

An average of another length is the sum of the saved ones whose profile lies nearest to the wanted p:

    minimise |sum_i x_i p_i - p|^2 + RIDGE |p|^2 |x|^2   over x with sum_i x_i = 1
    <p_a, p_b> = (a + 1) (b + 1) / (a + b + 1) * (T / T_a)^a (T / T_b)^b T / (T_a T_b),   T = min(T_a, T_b)

where a, b are the powers gamma. The paper solves the first term alone. With the sum, weights that stand still come out
as they are; the ridge keeps large opposite coefficients away, which would magnify the rounding of the saved averages.

Snapshots are saved at multiples of a spacing that doubles whenever MAX_SNAPSHOTS of them are reached, when every second
one is deleted. So there are between MAX_SNAPSHOTS / 2 and MAX_SNAPSHOTS whatever the length of a run, and which ones
follows from the step alone: a resumed run has the same files. They take at most MAX_SNAPSHOTS * 2 averages * 2 bytes =
96 bytes per parameter. `fromnoise.train.snapshot_manifest` lists them, with the SHA-256 of each.

References: https://arxiv.org/abs/2312.02696
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.files import write_bytes
from fromnoise.train.averages import POSTHOC_LENGTHS
from fromnoise.train.checkpoint import average_file, load_weights, read_state
from fromnoise.train.ema import power_for
from fromnoise.train.snapshot_manifest import (
    AveragesError,
    manifest_or_files,
    read_snapshot,
    snapshots_before,
    spacing,
    write_manifest,
)
from fromnoise.train.trainer import Trainer

SHORTEST, LONGEST = 0.01, 0.28  # lengths that can be requested
# Of a profile: beyond it, the sum is not an average of the requested length. At 0.3, after a short run, it was further
# from that average than the last weights are; at 0.15 a third as far.
MAX_MISFIT = 0.2
RIDGE = 1e-5
FIRST_LISTED = 2  # the format of checkpoints since which the snapshots have a manifest
_ADVICE = "free some space and resume; a new run takes less with --no_posthoc_ema"


def inner_product(end_a: Tensor, a: Tensor, end_b: Tensor, b: Tensor) -> Tensor:
    """<p_a, p_b> of profiles with ends T_a, T_b in steps and powers a, b; float64 tensors that broadcast."""
    end = torch.minimum(end_a, end_b)
    share = (a + 1) * (b + 1) / (a + b + 1)
    return share * (end / end_a) ** a * (end / end_b) ** b * end / (end_a * end_b)


def coefficients(ends: Tensor, lengths: Tensor, end: float, length: float) -> tuple[Tensor, float]:
    """(x, misfit) for averages with `ends` in steps and relative `lengths`, both (K,), and one of `length` at `end`.

    x: float64 (K,), which add up to 1. misfit: |sum_i x_i p_i - p| / |p|, 0 where the wanted profile is met. No two
    averages may have both end and length in common.
    """
    powers = torch.tensor([power_for(one) for one in lengths.tolist()], dtype=torch.float64)
    ends, count = ends.double(), len(ends)
    wanted_end, wanted = torch.tensor(end, dtype=torch.float64), torch.tensor(power_for(length), dtype=torch.float64)
    size = inner_product(wanted_end, wanted, wanted_end, wanted)  # |p|^2; divided by it, all is of order 1
    among = inner_product(ends[:, None], powers[:, None], ends, powers) / size
    towards = inner_product(ends, powers, wanted_end, wanted) / size
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)  # the last row and column hold the sum
    system[:count, :count] = among + RIDGE * torch.eye(count, dtype=torch.float64)
    system[count, count] = 0
    x = torch.linalg.solve(system, torch.cat([towards, torch.ones(1, dtype=torch.float64)]))[:count]
    return x, float((x @ among @ x - 2 * x @ towards + 1).clamp(min=0).sqrt())


def save_if_due(folder: Path, trainer: Trainer) -> None:
    """Write a snapshot of the averages of `trainer` into `folder` at its time, and delete the superfluous ones.

    There is none at the end of training: the last checkpoint holds these averages itself. Raises WriteError.
    """
    if not trainer.averages.posthoc or trainer.done or trainer.step % spacing(trainer.step):
        return
    trainer.settle()
    averages = {
        f"{length:g}": _flat(dict(average.net.named_parameters())).half().cpu()
        for length, average in trainer.averages.posthoc.items()
    }
    content = save(averages)
    path = write_bytes(folder / f"{trainer.step:08d}.safetensors", content, durable=True, advice=_ADVICE)
    _prune(folder, trainer.step, {path.name: hashlib.sha256(content).hexdigest()})


def prune_after(folder: Path, step: int) -> None:
    """Keep in `folder` what belongs there after `step` steps: nothing newer, nothing between, nothing half written.

    Raises WriteError where a file cannot be removed.
    """
    if folder.exists():
        _prune(folder, step, {})


def _prune(folder: Path, step: int, new: Mapping[str, str]) -> None:
    gap = spacing(step)
    wanted = {f"{n:08d}.safetensors" for n in range(gap, step + 1, gap)}
    try:
        before = manifest_or_files(folder)
        listed = {name: digest for name, digest in {**before, **new}.items() if name in wanted}
        write_manifest(folder, listed, _ADVICE)
        for path in (*folder.glob("*.safetensors"), *folder.glob(".*.tmp")):
            if path.name not in listed:
                path.unlink()
    except OSError as error:
        raise WriteError(f"cannot remove old averages in {folder}: {error.strerror}; {_ADVICE}") from error


def reconstruct(net: nn.Module, files: dict[str, bytes], folder: Path, length: float) -> None:
    """Load into `net` the average of `length` at the time of a checkpoint.

    Arguments:
        files: the checkpoint's files, which hold its own averages.
        folder: snapshots; those before the checkpoint are used.

    Raises:
        UsageError: the run has saved no averages, or too few for this length.
        AveragesError: a file cannot be read or does not fit.
    """
    own = {one: files.get(average_file(one), files.get("ema.safetensors", b"")) for one in POSTHOC_LENGTHS}
    if all(average_file(one) not in files for one in POSTHOC_LENGTHS):
        raise UsageError(
            f"ema:{length:g} is made of averages saved while training, and {folder.parent} has none "
            "(it was trained without them, or by an older fromnoise); use ema or raw, or train again into a new folder"
        )
    state = read_state(files)
    end = int(state["step"])
    earlier = snapshots_before(folder, end, listed=state["format"] >= FIRST_LISTED)
    ends = torch.tensor([end, *(int(path.stem) for path in earlier)]).repeat_interleave(len(POSTHOC_LENGTHS))
    lengths = torch.tensor(POSTHOC_LENGTHS, dtype=torch.float64).repeat(1 + len(earlier))
    x, misfit = coefficients(ends, lengths, end, length)
    if misfit > MAX_MISFIT:
        raise UsageError(_too_few(ends, lengths, end, length))
    parameters = dict(net.named_parameters())
    try:
        total = _weighted_sum(x, own, earlier, parameters)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise AveragesError(
            f"the averages saved in {folder} cannot be combined ({error}); use --weights ema or raw"
        ) from error
    load_weights(net, save({**load(own[POSTHOC_LENGTHS[0]]), **_named(total, parameters)}))


def _weighted_sum(
    x: Tensor, own: Mapping[float, bytes], earlier: Mapping[Path, str | None], parameters: Mapping[str, Tensor]
) -> Tensor:
    """sum_i x_i average_i, float64 (P,): the checkpoint's own averages first, then those of the `earlier` snapshots."""
    shares = x.reshape(-1, len(POSTHOC_LENGTHS))
    total = torch.zeros(sum(p.numel() for p in parameters.values()), dtype=torch.float64)
    for share, length in zip(shares[0], POSTHOC_LENGTHS, strict=True):
        weights = load(own[length])
        total.add_(_flat({name: weights[name] for name in parameters}), alpha=float(share))
    for (path, digest), row in zip(earlier.items(), shares[1:], strict=True):
        saved = load(read_snapshot(path, digest))
        for share, length in zip(row, POSTHOC_LENGTHS, strict=True):
            total.add_(saved[f"{length:g}"], alpha=float(share))
    return total


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """All values in one row, (P,), in the order of the names."""
    return torch.cat([tensors[name].detach().reshape(-1) for name in sorted(tensors)])


def _named(row: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_flat`, with the shapes and types of `like`."""
    names = sorted(like)
    pieces = torch.split(row, [like[name].numel() for name in names])
    return {
        name: piece.reshape(like[name].shape).to(like[name].dtype) for name, piece in zip(names, pieces, strict=True)
    }


def _too_few(ends: Tensor, lengths: Tensor, end: int, length: float) -> str:
    """The refusal of `length`, with the lengths that so few averages allow."""
    fits = [n / 100 for n in range(round(100 * SHORTEST), round(100 * LONGEST) + 1)]
    fits = [one for one in fits if coefficients(ends, lengths, end, one)[1] <= MAX_MISFIT]
    return (
        f"the {len(ends)} averages saved in {end:,} steps of training do not make one of length {length:g}; "
        f"use {fits[0]:g} to {fits[-1]:g}, or train for longer"
    )
