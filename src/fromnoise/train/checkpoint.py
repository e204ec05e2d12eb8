"""Checkpoints: safetensors and JSON in a folder named by the images seen, whole or not there at all.

    checkpoints/00120000/  model.safetensors  ema.safetensors  optimizer.safetensors  state.json  manifest.json
                           ema-0.05.safetensors: the averages of `posthoc`, but for one that ema.safetensors holds
    checkpoints/best.json  {"images": 120000, "by": "held-out loss", "value": 0.0123}

A checkpoint is written under another name and renamed when it is complete; the manifest holds the SHA-256 of
every file. best.json names the one with the lowest score, which is kept whatever its age. No pickles: loading one
cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.common.files import write_bytes, write_through
from fromnoise.train.trainer import Trainer

FORMAT = 1


class BrokenWeightsError(CheckpointError):
    """Weights of a checkpoint that are no finite numbers: all they can make is black pictures."""


@dataclass(frozen=True)
class Score:
    """What the weights after `images` images are worth by a measure that is named `by`; lower is better."""

    images: int
    by: str
    value: float


def write(folder: Path, trainer: Trainer, seconds: float, keep: int) -> Path:
    """Save `trainer` as `folder`/<images seen>; older ones beyond `keep` go, but not the best. seconds: time so far."""
    final = folder / f"{trainer.images:08d}"
    building = folder / f".building-{trainer.images}-{os.getpid()}"
    state = {
        "format": FORMAT,
        "step": trainer.step,
        "images": trainer.images,
        "total": trainer.total,
        "skipped": trainer.skipped,
        "seconds": seconds,
    }
    files = {
        "model.safetensors": save(_weights(trainer.net)),
        "optimizer.safetensors": save(_optimizer_tensors(trainer)),
    }
    if trainer.ema:
        files["ema.safetensors"] = save(_weights(trainer.ema.net))
    files |= {profile_file(length): save(_weights(average.net)) for length, average in trainer.others.items()}
    files["state.json"] = json.dumps(state, indent=1).encode()
    files["manifest.json"] = json.dumps({n: hashlib.sha256(b).hexdigest() for n, b in files.items()}, indent=1).encode()
    try:
        building.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_through(building / name, content)
        if final.exists():
            _retire(final)
        building.rename(final)
        _retire_all_but(folder, keep)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise WriteError(
            f"could not write the checkpoint {final}: {error.strerror}; free some space or choose another --output_dir"
        ) from error
    return final


def _retire_all_but(folder: Path, keep: int) -> None:
    """Delete all checkpoints but the newest `keep` and the best."""
    best = best_score(folder)
    for old in found(folder)[:-keep]:
        if best is None or int(old.name) != best.images:
            _retire(old)


def best_score(folder: Path) -> Score | None:
    """The score of the best checkpoint in `folder`; None where none is recorded, or where it is gone."""
    try:
        score = Score(**json.loads((folder / "best.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return score if any(int(path.name) == score.images for path in found(folder)) else None


def note_score(folder: Path, score: Score, keep: int) -> None:
    """Record `score` of the checkpoint just written where it is the lowest so far; what was best before may go then.

    Scores by another measure are not compared: the new one takes their place. One that is not finite is no score.
    """
    before = best_score(folder)
    if not math.isfinite(score.value) or (before and before.by == score.by and before.value <= score.value):
        return
    content = json.dumps(asdict(score), indent=1).encode()
    write_bytes(folder / "best.json", content, durable=True, advice="free some space")
    try:
        _retire_all_but(folder, keep)
    except OSError as error:
        raise WriteError(f"cannot remove an old checkpoint in {folder}: {error.strerror}; allow it") from error


def _retire(path: Path) -> None:
    """Delete by renaming first, so that a kill halfway leaves nothing that looks like a checkpoint."""
    trash = path.with_name(f".trash-{path.name}-{os.getpid()}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def found(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, fewest images first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def read(path: Path) -> dict[str, bytes]:
    """The files of the checkpoint at `path`, each checked against the manifest; CheckpointError if one differs."""
    try:
        manifest: dict[str, str] = json.loads((path / "manifest.json").read_bytes())
        files = {name: (path / name).read_bytes() for name in manifest}
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is not complete ({error}); delete that folder to use an older one"
        ) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest[name]:
            raise CheckpointError(
                f"{path / name} is damaged (its SHA-256 is not the manifest's); delete {path} to use an older one"
            )
    return files


def state_of(files: dict[str, bytes]) -> dict[str, Any]:
    """state.json of a checkpoint's files; CheckpointError where a newer fromnoise wrote it."""
    state: dict[str, Any] = json.loads(files["state.json"])
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"this checkpoint has format {state['format']}, this fromnoise knows {FORMAT}; update fromnoise"
        )
    return state


def restore(files: dict[str, bytes], trainer: Trainer) -> float:
    """Put a checkpoint's files into `trainer`; returns the training seconds before it."""
    state = state_of(files)
    load_weights(trainer.net, files["model.safetensors"])
    if trainer.ema:
        load_weights(trainer.ema.net, files["ema.safetensors"])
    if any(profile_file(length) not in files for length in trainer.others):
        trainer.profiles = {}  # the run was begun without them, and an average of its rest is none
    for length, average in trainer.others.items():
        load_weights(average.net, files[profile_file(length)])
    _restore_optimizer(trainer, load(files["optimizer.safetensors"]))
    trainer.step, trainer.images = state["step"], state["images"]
    trainer.total, trainer.skipped = state["total"] or trainer.total, state["skipped"]
    return float(state["seconds"])


def profile_file(length: float) -> str:
    """The file of the average of `length` that others are made of: "ema-0.05.safetensors"."""
    return f"ema-{length:g}.safetensors"


def load_weights(net: nn.Module, content: bytes) -> None:
    """Put the bytes of a safetensors file into `net`, name by name.

    Raises CheckpointError if they do not fit, BrokenWeightsError where NaN or infinity is among them.
    """
    try:
        weights = load(content)
        net.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights do not fit the network of config.json ({said[:160]}); they are another version's or "
            "another network's, so train again into a new folder"
        ) from error
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise BrokenWeightsError(
            "the checkpoint's weights hold values that are no finite numbers, so nothing can be made with them; choose "
            "an earlier one with --checkpoint, or train again into a new folder with a lower --learning_rate"
        )


def _weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}


def _optimizer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Adam's step count and moments by parameter number: "12.exp_avg"."""
    moments = trainer.optimizer.state_dict()["state"]
    return {
        f"{i}.{name}": value.detach().cpu().contiguous() for i, row in moments.items() for name, value in row.items()
    }


def _restore_optimizer(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    for parameter, row in trainer.optimizer.state.items():
        for name, value in row.items():
            if value.shape == parameter.shape:
                # The fused kernels walk memory, so moments must lie in it as their parameter does (channels last).
                row[name] = torch.empty_like(parameter).copy_(value)
