"""The files below a folder or inside a .zip, listed without reading or unpacking any of them.

Left aside: hidden files and folders and those that systems leave behind (silently), what fromnoise made itself (said),
and files whose suffix is no image's (counted). A .zip is read in place: its member names are only ever names.
"""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable
from fromnoise.data.formats import is_readable
from fromnoise.data.own_output import Found, without_own
from fromnoise.data.zip_names import member_names

LABEL_FILES = ("dataset.json", "metadata.csv", "metadata.jsonl")
LARGEST_MEMBER = 512 * 2**20
_JUNK = {
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),  # Windows
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "lost+found"),  # NAS, Linux
    *("__pycache__", "node_modules", "site-packages"),
}


@dataclass(frozen=True)
class Entry:
    """A file: folders and name below the part of the tree that is looked at, below the root, and how to open it."""

    parts: tuple[str, ...]
    open: Callable[[], BinaryIO]
    full: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path below the part of the tree that is looked at, safe to print."""
        return printable("/".join(self.parts))


@dataclass(frozen=True)
class Tree:
    """What a folder or .zip holds.

    entries: the images. folders: every folder, also those without images. label_files: files that may hold labels.
    others: paths below the root of all other files. ignored: suffix -> files. notes: what was left aside as our own.
    """

    entries: tuple[Entry, ...]
    folders: frozenset[tuple[str, ...]]
    label_files: tuple[Entry, ...] = ()
    others: frozenset[tuple[str, ...]] = frozenset()
    ignored: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()

    def below(self, top: str) -> Tree:
        """The part below one top-level folder, with paths as seen from there."""
        entries = tuple(replace(e, parts=e.parts[1:]) for e in self.entries if e.parts[0] == top and len(e.parts) > 1)
        folders = frozenset(parts[1:] for parts in self.folders if parts[0] == top and len(parts) > 1)
        return replace(self, entries=entries, folders=folders)

    def without(self, tops: Iterable[str]) -> Tree:
        """The tree without these top-level folders."""
        gone = set(tops)
        entries = tuple(e for e in self.entries if len(e.parts) == 1 or e.parts[0] not in gone)
        return replace(self, entries=entries, folders=frozenset(f for f in self.folders if f[0] not in gone))

    def tops(self) -> list[str]:
        """The top-level folders, in order."""
        return sorted(parts[0] for parts in self.folders if len(parts) == 1)

    def holding(self) -> list[str]:
        """The top-level folders with images below them, in order."""
        return sorted({entry.parts[0] for entry in self.entries if len(entry.parts) > 1})

    def loose(self) -> int:
        """How many images are in no folder."""
        return sum(len(entry.parts) == 1 for entry in self.entries)


def is_junk(name: str) -> bool:
    """Whether a name is that of a file or folder which systems leave behind."""
    return name.startswith(".") or name.lower() in _JUNK


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a member's name, not a path


def _composed(parts: Iterable[str]) -> tuple[str, ...]:
    """Names in the one normal form (NFC) that all systems' spellings of them share."""
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def walk_folder(root: Path) -> Tree:
    """Everything below a folder. Linked folders are followed, but each real folder is entered once, by its own name."""
    folders: set[tuple[str, ...]] = set()
    files: list[Found] = []
    for parts, path, is_folder in _walk(root):
        if is_folder:
            folders.add(_composed(parts))
        else:
            files.append(Found(_composed(parts), partial(_open_file, path)))
    return _tree(files, folders, printable(str(root)))


def _tree(files: list[Found], folders: set[tuple[str, ...]], where: str) -> Tree:
    """The files as a Tree, without our own."""
    files.sort(key=lambda file: file.parts)
    kept, notes = without_own(files, lambda file: is_readable(_suffix(file.parts[-1])), where)
    entries, label_files, others, ignored = [], [], set(), Counter[str]()
    for file in kept:
        suffix, entry = _suffix(file.parts[-1]), Entry(file.parts, file.open, file.parts)
        if is_readable(suffix):
            entries.append(entry)
            continue
        others.add(file.parts)
        if file.parts[-1] in LABEL_FILES:
            label_files.append(entry)
        else:
            ignored[suffix or "no suffix"] += 1
    # A folder in which everything was our own is not an empty one of somebody else's.
    ours = _above(file.parts for file in files) - _above(file.parts for file in kept)
    return Tree(tuple(entries), frozenset(folders - ours), tuple(label_files), frozenset(others), ignored, notes)


def _above(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """All folders that the files lie in."""
    return {folder[:depth] for folder in {path[:-1] for path in paths} for depth in range(1, len(folder) + 1)}


def _walk(root: Path) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """(parts, path, whether it is a folder) of all that is below root, folders before what they hold."""
    entered: set[tuple[int, int]] = set()
    waiting: deque[tuple[tuple[str, ...], str]] = deque([((), os.fspath(root))])
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
        if parts and any(entry.name == "pyvenv.cfg" for entry in found):
            continue  # a virtual environment: its packages bring pictures along
        if parts:
            yield parts, folder, True
        for entry in found:
            if is_junk(entry.name):
                continue
            if is_folder(entry):
                # Links come last: a folder that is met under its own name has no other.
                (waiting.appendleft if entry.is_symlink() else waiting.append)(((*parts, entry.name), entry.path))
            else:
                yield (*parts, entry.name), entry.path, False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def _open_file(path: str) -> BinaryIO:
    """Opens a plain file; anything else (a pipe would wait for ever) is refused."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError("it is not a plain file")
    return open(path, "rb")


def walk_zip(archive: zipfile.ZipFile, where: str) -> Tree:
    """Everything inside an open .zip. Of members with the same name the last counts, as in unzip."""
    files: dict[tuple[str, ...], Found] = {}
    folders: set[tuple[str, ...]] = set()
    names, notes = member_names(archive.infolist(), where)
    for info, name in zip(archive.infolist(), names, strict=True):
        raw = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
        parts = _composed(raw)
        if not parts or any(is_junk(part) for part in parts):
            continue
        is_dir = name.endswith(("/", "\\"))  # the latter of some programs on Windows
        above = parts if is_dir else parts[:-1]
        folders.update(above[:depth] for depth in range(1, len(above) + 1))
        if not is_dir:
            files[raw] = Found(parts, partial(_open_member, archive, info), partial(_start_of_member, archive, info))
    tree = _tree(list(files.values()), folders, where)
    return replace(tree, notes=notes + tree.notes)


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    """A member's bytes, in memory."""
    _check_member(info)
    with archive.open(info) as stream:
        # One byte more than it claims: a member that unpacks to more is noticed, not unpacked.
        content = stream.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise OSError(f"it does not unpack to the {info.file_size:,} bytes that it claims")
    return BytesIO(content)


def _start_of_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int) -> bytes:
    """The first bytes of a member, without unpacking the rest."""
    _check_member(info)
    with archive.open(info) as stream:
        return stream.read(length)


def _check_member(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise OSError("it is encrypted")
    if info.file_size > LARGEST_MEMBER:
        raise OSError(f"it unpacks to {info.file_size:,} bytes")
