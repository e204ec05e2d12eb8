"""Checkpoints on disk: folders named by the images seen, complete or not there at all.

    checkpoints/00120000/  *.safetensors  state.json  manifest.json

A checkpoint is written under another name and renamed when it is complete; the manifest holds the SHA-256 of every
file. No pickles: loading a checkpoint cannot run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.common.files import exchange, read_regular, reason_of, sync_folder, write_through
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import parse_object

T = TypeVar("T")

_MANIFEST_BYTES = 1_000_000
_NAME = re.compile(r"[0-9]{8,20}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STRAY = re.compile(r"\.(building|trash)-([0-9]{1,20})-[0-9]+")


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, fewest images first; CheckpointError where the folder cannot be read."""
    try:
        there = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read ({error.strerror}); allow reading it") from error
    return sorted(there, key=lambda path: int(path.name))


def read_checkpoint(path: Path) -> dict[str, bytes]:
    """The files of the checkpoint at `path`, each checked against the manifest; CheckpointError if one differs."""
    try:
        manifest = read_manifest(path / "manifest.json")
        if "state.json" not in manifest:
            raise ValueError("manifest.json names no state.json")
        files = {name: read_regular(path / name) for name in manifest}
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is not complete ({reason_of(error)}); use another checkpoint"
        ) from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest[name]:
            raise CheckpointError(
                f"{path / name} is damaged (its SHA-256 is not the manifest's); use another checkpoint"
            )
    return files


def newest_usable(
    folder: Path, use: Callable[[dict[str, bytes]], T], final: tuple[type[CheckpointError], ...] = ()
) -> tuple[Path, T]:
    """(path, `use` of its files) of the newest checkpoint for which neither reading nor `use` raises CheckpointError.

    Those that are passed over are named on standard error. Errors of the kinds `final` are raised at once, and the
    newest one's error where none can be used.
    """
    passed: dict[Path, CheckpointError] = {}
    for path in reversed(list_checkpoints(folder)):
        try:
            found = use(read_checkpoint(path))
        except final:
            raise
        except CheckpointError as error:
            passed[path] = error
            continue
        for newer, reason in passed.items():
            report_progress(f"warning: {newer.name} is passed over: {str(reason).rpartition(';')[0]}")
        if passed:
            report_progress(f"warning: the checkpoint {path} is used in its place")
        return path, found
    if len(passed) > 1:
        report_progress(f"none of the {len(passed)} checkpoints in {folder} can be used; the newest one's error:")
    raise next(iter(passed.values()), CheckpointError(f"{folder} holds no checkpoint; train the run first"))


def set_aside(folder: Path, images: int) -> None:
    """Rename the checkpoints after `images` images to damaged-<images>: they are not counted among those that are kept.

    Only for who holds the run's lock. What cannot be renamed stays, and is replaced when training arrives there.
    """
    for path in list_checkpoints(folder):
        if int(path.name) > images:
            with suppress(OSError):
                aside = path.with_name(f"damaged-{path.name}")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                report_progress(f"warning: {path} was renamed to {aside.name}; delete it when you like")


def read_manifest(path: Path) -> dict[str, str]:
    """{file name: SHA-256} of the manifest `path`; OSError, or ValueError where it is damaged or leads elsewhere."""
    manifest = parse_object(read_regular(path, _MANIFEST_BYTES))
    for name, digest in manifest.items():
        if not _FILE.fullmatch(name) or not isinstance(digest, str):
            raise ValueError(f"{path.name} lists {name[:60]!r}, which is not a file of ours with its SHA-256")
    return manifest


def part(files: dict[str, bytes], name: str) -> bytes:
    """The file `name` of a checkpoint's files; CheckpointError where it is missing."""
    if name not in files:
        raise CheckpointError(f"the checkpoint holds no {name} ({', '.join(sorted(files)) or 'nothing'}); use another")
    return files[name]


def write_checkpoint(folder: Path, images: int, files: dict[str, bytes]) -> Path:
    """Write `files` and their manifest as `folder`/`images`, in place of one that is there; raises WriteError.

    It is read again and compared before it takes its name, and with that whatever may be deleted for it.
    """
    final = folder / f"{images:08d}"
    building = folder / f".building-{images}-{os.getpid()}"
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        building.mkdir(parents=True, exist_ok=True)
        for name, content in {**files, "manifest.json": json.dumps(manifest, indent=1).encode()}.items():
            write_through(building / name, content)
        sync_folder(building)
        if read_checkpoint(building) != files:
            raise CheckpointError("what is read again is not what was written")
        if final.exists():
            take_place(building, final)
        else:
            building.rename(final)
        sync_folder(folder)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(building, ignore_errors=True)
        raise WriteError(
            f"cannot write the checkpoint {final}: {reason_of(error)}; free some space or choose another --output_dir"
        ) from error
    return final


def take_place(building: Path, final: Path) -> None:
    """Give the folder `building` the name `final`, and delete what had it; in one step where the system has one."""
    trash = final.with_name(f".trash-{final.name}-{os.getpid()}")
    shutil.rmtree(trash, ignore_errors=True)
    if exchange(building, final):
        building.rename(trash)
    else:
        final.rename(trash)
        building.rename(final)
    shutil.rmtree(trash, ignore_errors=True)


def remove_checkpoint(path: Path) -> None:
    """Delete by renaming first, so that a kill halfway leaves nothing that looks like a checkpoint."""
    trash = path.with_name(f".trash-{path.name}-{os.getpid()}")
    shutil.rmtree(trash, ignore_errors=True)
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def sweep_checkpoints(folder: Path) -> None:
    """Delete what a kill left in `folder`, checkpoints half written or half deleted: for who holds the run's lock.

    A whole one that lost its name while another took its place gets it back.
    """
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _STRAY.fullmatch(path.name):
            final = path.with_name(f"{int(match[2]):08d}")
            with suppress(OSError, CheckpointError):
                if not final.exists() and match[1] == "building" and read_checkpoint(path):
                    path.rename(final)
                    continue
            shutil.rmtree(path, ignore_errors=True)
