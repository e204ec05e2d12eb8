"""Runs renamed, and deleted into a folder from which they come back: `.trash/ID/NAME` below the folder of runs.

A run that trains stays where it is. Nothing is ever removed here.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from fromnoise.common.errors import BusyError, UsageError, WriteError
from fromnoise.run.folder import RunFolder
from fromnoise.studio.index import RunIndex

TRASH = ".trash"
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


def check_name(name: str) -> None:
    """UsageError for a `name` that cannot be a run's folder."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise UsageError(f"'{name[:60]}' is not a name for a run; give letters, digits, '-', '_' and '.'")


def rename(root: Path, folder: RunFolder, name: str) -> Path:
    """Give a run another name, beside where it lies; returns its path below `root`."""
    check_name(name)
    target = folder.path.parent / name
    _move(root, folder, target)
    return target.relative_to(root)


def delete(root: Path, folder: RunFolder) -> str:
    """Move a run into the trash; returns its id there."""
    if folder.path == root:
        raise UsageError("this studio shows one run alone; open it on the folder of all runs to delete this one")
    found = secrets.token_hex(8)
    _move(root, folder, root / TRASH / found / folder.path.relative_to(root))
    return found


def restore(root: Path, deleted: str) -> Path:
    """Move a run back to where it was; returns its path below `root`. UsageError for an id that is not listed."""
    name = trashed(root).get(deleted)
    if name is None:
        raise UsageError("this run is not in the trash any more; look at the list again")
    _move(root, RunFolder(root / TRASH / deleted / name), root / name)
    _remove_empty(root / TRASH / deleted, Path(name).parent)
    return Path(name)


def trashed(root: Path) -> dict[str, str]:
    """The names of the runs in the trash, by their ids there, the last deleted first."""
    try:
        places = [one for one in (root / TRASH).iterdir() if _ID.fullmatch(one.name) and not one.is_symlink()]
        places.sort(key=lambda one: one.stat().st_mtime, reverse=True)
    except OSError:
        return {}
    found = {place.name: [row["name"] for row in RunIndex(place).rows().values()] for place in places}
    return {deleted: names[0] for deleted, names in found.items() if names}


def _move(root: Path, folder: RunFolder, target: Path) -> None:
    """Rename a folder that no process trains in.

    Raises:
        UsageError: the studio shows one run alone, or something lies at the target.
        BusyError: the run trains.
        WriteError: it cannot be moved.
    """
    if folder.path == root:
        raise UsageError("this studio shows one run alone; open it on the folder of all runs to rename this one")
    if os.path.lexists(target):
        raise UsageError(f"there is a run or a folder called '{target.name}' already; give another name")
    try:
        with folder.locked():
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.path.rename(target)
    except BusyError:
        raise BusyError(f"{folder.path.name} trains; stop it first") from None
    except OSError as error:
        raise WriteError(f"{folder.path} cannot be moved ({error.strerror}); allow it, or move it yourself") from error


def _remove_empty(place: Path, inside: Path) -> None:
    """Remove the folders in which a run lay in the trash, where nothing else does."""
    for part in (place / inside, *(place / parent for parent in inside.parents)):
        try:
            part.rmdir()
        except OSError:
            return
