"""Checkpoints: safetensors and JSON in a folder named by the images seen, whole or not there at all.

    checkpoints/00120000/  model.safetensors  ema.safetensors  optimizer.safetensors  state.json  manifest.json

A checkpoint is written under another name and renamed when it is complete; the manifest holds the SHA-256 of
every file. No pickles: loading one cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.errors import CheckpointError, WriteError
from fromnoise.train.engine import Trainer

FORMAT = 1


def write(folder: Path, trainer: Trainer, seconds: float, keep: int) -> Path:
    """Save `trainer` as `folder`/<images seen>; older ones beyond `keep` go. seconds: training time so far."""
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
    if trainer.memory:
        files["times.safetensors"] = save(trainer.memory.state())
    files["state.json"] = json.dumps(state, indent=1).encode()
    files["manifest.json"] = json.dumps({n: hashlib.sha256(b).hexdigest() for n, b in files.items()}, indent=1).encode()
    try:
        building.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write_through(building / name, content)
        if final.exists():
            _retire(final)
        building.rename(final)
        for old in found(folder)[:-keep]:
            _retire(old)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise WriteError(
            f"could not write the checkpoint {final}: {error.strerror}; free some space or choose another --output_dir"
        ) from error
    return final


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
    if trainer.memory:
        trainer.memory.restore(load(files["times.safetensors"]))
    _restore_optimizer(trainer, load(files["optimizer.safetensors"]))
    trainer.step, trainer.images = state["step"], state["images"]
    trainer.total, trainer.skipped = state["total"] or trainer.total, state["skipped"]
    return float(state["seconds"])


def load_weights(net: nn.Module, content: bytes) -> None:
    """Put the bytes of a safetensors file into `net`, name by name; CheckpointError if they do not fit."""
    try:
        net.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights do not fit the network of config.json ({said[:160]}); they are another version's or "
            "another network's, so train again into a new folder"
        ) from error


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
