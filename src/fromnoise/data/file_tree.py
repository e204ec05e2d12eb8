"""The files below a folder or inside a .zip, listed without reading or unpacking any of them.

Left aside: hidden files and folders, __MACOSX, Thumbs.db and desktop.ini (silently), and files whose suffix is
no image's (counted). A .zip is read in place: its member names are only ever names.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LARGEST_MEMBER = 512 * 2**20
_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """A file with an image's suffix: folders and name below the root, and how to open it."""

    parts: tuple[str, ...]
    open: Callable[[], BinaryIO]

    @property
    def name(self) -> str:
        """Its path below the root, safe to print."""
        return printable("/".join(self.parts))


@dataclass(frozen=True)
class Tree:
    """What a folder or .zip holds. folders: every folder, also those without images. ignored: suffix -> files."""

    entries: tuple[Entry, ...]
    folders: frozenset[tuple[str, ...]]
    ignored: Counter[str] = field(default_factory=Counter)

    def below(self, top: str) -> Tree:
        """The part below one top-level folder, with paths as seen from there."""
        entries = tuple(replace(e, parts=e.parts[1:]) for e in self.entries if e.parts[0] == top and len(e.parts) > 1)
        folders = frozenset(parts[1:] for parts in self.folders if parts[0] == top and len(parts) > 1)
        return Tree(entries, folders, self.ignored)

    def tops(self) -> list[str]:
        """The top-level folders, in order."""
        return sorted(parts[0] for parts in self.folders if len(parts) == 1)


def is_junk(name: str) -> bool:
    """Whether a name is that of a file or folder which systems leave behind."""
    return name.startswith(".") or name.lower() in _JUNK


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a member's name, not a path


def walk_folder(root: Path) -> Tree:
    """Everything below a folder. Linked folders are followed, but each real folder is entered once."""
    entries: list[Entry] = []
    folders: set[tuple[str, ...]] = set()
    ignored: Counter[str] = Counter()
    for parts, path, is_folder in _walk(root):
        if is_folder:
            folders.add(parts)
        elif _suffix(parts[-1]) in SUFFIXES:
            entries.append(Entry(parts, partial(_open_file, path)))
        else:
            ignored[_suffix(parts[-1]) or "no suffix"] += 1
    return Tree(tuple(sorted(entries, key=lambda e: e.parts)), frozenset(folders), ignored)


def _walk(root: Path) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """(parts, path, whether it is a folder) of all that is below root, folders before what they hold."""
    entered: set[tuple[int, int]] = set()
    waiting: list[tuple[tuple[str, ...], str]] = [((), os.fspath(root))]
    while waiting:
        parts, folder = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 - plain strings carry names of any bytes
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            found = sorted(os.scandir(folder), key=lambda e: e.name)
        except OSError as error:
            raise DataError(
                f"the folder {printable(folder)} cannot be read ({error.strerror}); allow it or move it elsewhere"
            ) from error
        if parts:
            yield parts, folder, True
        for entry in found:
            if is_junk(entry.name):
                continue
            if _is_folder(entry):
                waiting.append(((*parts, entry.name), entry.path))
            else:
                yield (*parts, entry.name), entry.path, False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def _open_file(path: str) -> BinaryIO:
    """Opens a plain file; anything else (a pipe would wait for ever) is refused."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError("it is not a plain file")
    return open(path, "rb")


def walk_zip(archive: zipfile.ZipFile) -> Tree:
    """Everything inside an open .zip. Of members with the same name the last counts, as in unzip."""
    entries: dict[tuple[str, ...], Entry] = {}
    folders: set[tuple[str, ...]] = set()
    ignored: Counter[str] = Counter()
    for info in archive.infolist():
        parts = tuple(part for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        if not parts or any(is_junk(part) for part in parts):
            continue
        above = parts if info.is_dir() else parts[:-1]
        folders.update(above[:depth] for depth in range(1, len(above) + 1))
        if info.is_dir():
            continue
        if _suffix(parts[-1]) in SUFFIXES:
            entries[parts] = Entry(parts, partial(_open_member, archive, info))
        else:
            ignored[_suffix(parts[-1]) or "no suffix"] += 1
    return Tree(tuple(entries[parts] for parts in sorted(entries)), frozenset(folders), ignored)


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """A member's bytes, in memory."""
    if info.flag_bits & 1:
        raise OSError("it is encrypted")
    if info.file_size > LARGEST_MEMBER:
        raise OSError(f"it unpacks to {info.file_size:,} bytes")
    return BytesIO(archive.read(info))
