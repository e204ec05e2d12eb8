"""The stores of this machine: made for another place, listed and removed."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.files import bytes_in
from fromnoise.common.stored_json import read_stored
from fromnoise.common.text import printable, quoted
from fromnoise.data.loading import as_ranged, is_deep, place_of, plain_source
from fromnoise.data.remembered import known_folder
from fromnoise.data.state import STORE
from fromnoise.data.store_files import MANIFEST
from fromnoise.data.stored import LOCK, Stored, read_about, rules_of, stores_folder
from fromnoise.settings import DataOptions


@dataclass(frozen=True)
class StoreInfo:
    """A store of this machine.

    images: how many of each split. bytes: on the disk. used: when it was used last, in seconds since 1970. unfinished:
    whether an import was interrupted.
    """

    path: Path
    name: str
    source: str
    images: dict[str, int]
    bytes: int
    used: float
    unfinished: bool


def import_data(options: DataOptions, out: Path) -> Path:
    """Decode all images of `options` into a store in the folder `out`, which is itself DATA.

    Raises:
        UsageError: `out` holds something else.
        DataError: for data that is missing or broken.
        WriteError: `out` cannot be written, or the disk has no room.
    """
    found, place = plain_source(options), place_of(options)
    _check_vacant(out, options, place)
    stored = Stored(found, place, options, out)
    train = stored.read("train", options)
    for split in found.splits():
        images = stored.read(split, options)
        # All splits are read alike, as `load` does it: the range is that of the images to train on.
        narrow = images.range != "full" or is_deep(images.notes)
        if options.range == "auto" and narrow and images.range != train.range:
            shutil.rmtree(out / split)
            as_ranged(options, train.range, partial(stored.read, split))
    return out


def _check_vacant(out: Path, options: DataOptions, place: str) -> None:
    where = quoted(printable(str(out)))
    if os.path.realpath(out).startswith(place + os.sep):
        raise UsageError(f"--out is {where}, a folder within the images themselves; give one beside them")
    try:
        there = {path.name for path in out.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UsageError(f"--out is {where}, which is a file; give a folder that is not there yet") from None
    except OSError as error:
        raise WriteError(f"--out is {where}, which cannot be looked into ({error.strerror}); give another") from error
    about = read_about(out)
    if about is None and there - {LOCK}:
        raise UsageError(f"--out is {where}, which holds something else; give a folder that is not there yet")
    if about is not None and (about["source"] != place or about.get("rules") != rules_of(options)):
        raise UsageError(
            f"--out is {where}, a store of {printable(about['source'])} with other settings; give a folder that is not "
            "there yet"
        )


def list_stores() -> list[StoreInfo]:
    """All stores in the cache, the one that was used last first."""
    try:
        folders = [path for path in stores_folder().iterdir() if path.is_dir()]
    except OSError:  # there is none, or none that may be looked at
        folders = []
    return sorted(map(_info, folders), key=lambda store: -store.used)


def _info(path: Path) -> StoreInfo:
    about = read_about(path) or {"name": path.name, "source": "damaged"}
    images = {}
    for split in ("train", "val", "test"):
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError):
            images[split] = int(read_stored(path / split / MANIFEST)["shape"][0])
    used = 0.0
    with suppress(OSError):
        used = (path / STORE).stat().st_mtime
    parts = any(path.glob("*.part"))
    return StoreInfo(path, printable(about["name"]), printable(about["source"]), images, bytes_in(path), used, parts)


def prune_stores() -> list[Path]:
    """Remove the stores of the cache, and what was remembered of them; those that another process imports stay.

    Returns the folders that are gone. Raises WriteError where one cannot be removed.
    """
    from filelock import FileLock, Timeout

    gone = []
    for store in list_stores():
        try:
            with FileLock(store.path / LOCK, timeout=0):
                (store.path / STORE).unlink(missing_ok=True)  # without it, nothing of the rest is used
            shutil.rmtree(store.path)
            gone.append(store.path)
        except Timeout:
            continue
        except OSError as error:
            raise WriteError(f"{printable(str(store.path))} cannot be removed ({error.strerror}); allow it") from error
    shutil.rmtree(known_folder(), ignore_errors=True)
    return gone


def age(seconds: float) -> str:
    """`today`, `3 days ago`: how long ago a time was, in seconds since 1970."""
    days = int((time.time() - seconds) // 86_400)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days:,} days ago"
