"""Checkpoints on disk: folders named by the images seen, complete or not there at all.

    checkpoints/00120000/  *.safetensors  state.json  manifest.json

A checkpoint is written under another name and renamed when it is complete; the manifest holds the SHA-256 of every
file. No pickles: loading a checkpoint cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.common.files import write_through


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, fewest images first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def read_checkpoint(path: Path) -> dict[str, bytes]:
    """The files of the checkpoint at `path`, each checked against the manifest; CheckpointError if one differs."""
    try:
        manifest: dict[str, str] = json.loads((path / "manifest.json").read_bytes())
        files = {name: (path / name).read_bytes() for name in manifest}
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is not complete ({error}); delete that folder to use an older one"
        ) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest[name]:
            raise CheckpointError(
                f"{path / name} is damaged (its SHA-256 is not the manifest's); delete {path} to use an older one"
            )
    return files


def write_checkpoint(folder: Path, images: int, files: dict[str, bytes]) -> Path:
    """Write `files` and their manifest as `folder`/`images`, in place of one that is there; raises WriteError."""
    final = folder / f"{images:08d}"
    building = folder / f".building-{images}-{os.getpid()}"
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        building.mkdir(parents=True, exist_ok=True)
        for name, content in {**files, "manifest.json": json.dumps(manifest, indent=1).encode()}.items():
            write_through(building / name, content)
        if final.exists():
            remove_checkpoint(final)
        building.rename(final)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise WriteError(
            f"cannot write the checkpoint {final}: {error.strerror}; free some space or choose another --output_dir"
        ) from error
    return final


def remove_checkpoint(path: Path) -> None:
    """Delete by renaming first, so that a kill halfway leaves nothing that looks like a checkpoint."""
    trash = path.with_name(f".trash-{path.name}-{os.getpid()}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
