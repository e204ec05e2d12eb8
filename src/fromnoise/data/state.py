"""Whether files have changed since they were read: by their names, sizes and times, without opening them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from fromnoise.data.file_tree import is_folder, is_junk

STORE = "fromnoise-store.json"  # in each store: one among the images is not of them


def state_of(paths: Iterable[Path]) -> str:
    """A digest of all files at and below `paths`; another one where any was added, removed or written since.

    Hidden files and stores do not count. Each file's digest is added to a sum, so that no list of a million names has
    to be held and sorted.
    """
    total = 0
    waiting = [os.path.realpath(path) for path in paths]  # however they are spelled: digests are of whole paths
    entered: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        try:
            about = os.stat(path)  # noqa: PTH116 - plain strings carry names of any bytes
            if not os.path.isdir(path):  # noqa: PTH112
                total += _digest(path, about)
            elif (about.st_dev, about.st_ino) not in entered and not os.path.exists(os.path.join(path, STORE)):  # noqa: PTH110, PTH118
                entered.add((about.st_dev, about.st_ino))
                with os.scandir(path) as found:
                    for entry in found:
                        if is_junk(entry.name):
                            continue
                        if is_folder(entry):
                            waiting.append(entry.path)
                        else:
                            total += _of_file(entry)
        except OSError as error:  # a folder that may not be read
            total += _digest(f"{path}: {error.errno}", None)
    return f"{total % 2**256:064x}"


def _of_file(entry: os.DirEntry[str]) -> int:
    try:
        return _digest(entry.path, entry.stat())
    except OSError as error:  # a link that leads nowhere; the files beside it count all the same
        return _digest(f"{entry.path}: {error.errno}", None)


def _digest(path: str, about: os.stat_result | None) -> int:
    size = (about.st_size, about.st_mtime_ns) if about else ()
    return int.from_bytes(hashlib.sha256(os.fsencode(path) + repr(size).encode()).digest(), "big")
