"""Which snapshots of the averages there are, and the SHA-256 of each.

    averages/manifest.json   {"00000512.safetensors": "<SHA-256>", ..., "sha256": "<of all this>"}

An average made of one snapshot too few, or of one with a changed bit, would be another average of the same name. A
snapshot is listed when it is on the disk, and no longer listed before it is deleted.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

from fromnoise.common.errors import CheckpointError
from fromnoise.common.files import read_regular, reason_of
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import read_stored, write_stored

MANIFEST = "manifest.json"
FIRST_SPACING, MAX_SNAPSHOTS = 32, 24  # steps between the first snapshots, and how many there may be
_SNAPSHOT = re.compile(r"[0-9]{8,20}\.safetensors")


class AveragesError(CheckpointError):
    """Saved averages that are damaged or incomplete: an older checkpoint would not help."""


def spacing(step: int) -> int:
    """Steps between the snapshots that exist after `step` steps: FIRST_SPACING, doubled until MAX_SNAPSHOTS fit."""
    gap = FIRST_SPACING
    while step > MAX_SNAPSHOTS * gap:
        gap *= 2
    return gap


def list_snapshots(folder: Path) -> list[Path]:
    """The snapshots in `folder`, oldest first; none where there is no folder."""
    there = (path for path in folder.iterdir() if _SNAPSHOT.fullmatch(path.name)) if folder.is_dir() else ()
    return sorted(there, key=lambda path: int(path.stem))


def read_manifest(folder: Path) -> dict[str, str] | None:
    """{file name: SHA-256}, None where an earlier version wrote none; OSError, or ValueError where it is damaged."""
    try:
        listed = read_stored(folder / MANIFEST)
    except FileNotFoundError:
        return None
    if not all(_SNAPSHOT.fullmatch(name) and isinstance(digest, str) for name, digest in listed.items()):
        raise ValueError(f"{MANIFEST} lists what is not a snapshot")
    return listed


def manifest_or_files(folder: Path) -> dict[str, str]:
    """`read_manifest`; where there is none that can be read, what the files hold now, which is said."""
    try:
        listed = read_manifest(folder)
    except ValueError as error:
        report_progress(f"{folder / MANIFEST} is damaged ({error}); the averages beside it are taken as they are")
        listed = None
    return {path.name: digest_of(path) for path in list_snapshots(folder)} if listed is None else listed


def write_manifest(folder: Path, listed: Mapping[str, str], advice: str) -> None:
    """Write manifest.json; raises WriteError."""
    write_stored(folder / MANIFEST, dict(sorted(listed.items())), durable=True, advice=advice)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(read_regular(path)).hexdigest()


def snapshots_before(folder: Path, step: int, *, listed: bool) -> dict[Path, str | None]:
    """Snapshots of fewer than `step` steps, oldest first, each with its SHA-256 (None where none was kept).

    listed: there must be a manifest without gaps; of a run from before there were any, what is there is all that is
    known.

    Raises:
        AveragesError: one is missing, or the folder or its manifest cannot be read.
    """
    try:
        kept: Mapping[str, str | None] | None = read_manifest(folder)
        if kept is None and listed and step > FIRST_SPACING:
            raise ValueError(f"{MANIFEST} is missing")
        if kept is None:
            kept = dict.fromkeys(path.name for path in list_snapshots(folder))
        steps = {int(name.partition(".")[0]): name for name in kept}
        if listed:
            _check_gaps(sorted({0, *steps, step}))
        earlier = {folder / name: kept[name] for end, name in sorted(steps.items()) if end < step}
        for path in earlier:
            path.stat()
    except (OSError, ValueError) as error:
        raise AveragesError(
            f"the averages saved in {folder} are not complete ({reason_of(error)}); use --weights ema or raw"
        ) from error
    return earlier


def read_snapshot(path: Path, digest: str | None) -> bytes:
    """The content of a snapshot; AveragesError where it is not what was written."""
    content = read_regular(path)
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise AveragesError(f"{path} is damaged (its SHA-256 is not the manifest's); use --weights ema or raw")
    return content


def _check_gaps(steps: list[int]) -> None:
    """ValueError where more than one snapshot is missing between neighbours: a folder was emptied meanwhile.

    A training that went on, and was then reset to an older checkpoint, leaves twice the spacing.
    """
    widest = 2 * spacing(steps[-1])
    if any(later - one > widest for one, later in itertools.pairwise(steps)):
        raise ValueError("some of them are gone")
