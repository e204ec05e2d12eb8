"""A source whose images are kept in a store on the disk where they are many, and read from there ever after.

    CACHE/stores/NAME-KEY/fromnoise-store.json    what it was made from, and how that was then
                          train/, test/           the images of each split (`store_files`)
                          train.part/             an import that goes on when it is started again (`store_area`)
                          import.lock             held by the process that imports

KEY comes from the source's place and from the rules by which its images are read: with other rules it is another store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fromnoise.common.errors import DataError, WriteError
from fromnoise.common.progress import progress, report_progress
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.common.text import file_part, in_bytes, printable
from fromnoise.data.area import Area, blocks
from fromnoise.data.download import cache_dir
from fromnoise.data.mapped import is_mapped
from fromnoise.data.source import Source, SourceImages
from fromnoise.data.state import STORE
from fromnoise.data.store_area import JOURNAL, SPARE, Folder, Undecided
from fromnoise.data.store_files import MANIFEST, Damaged, read_split, write_split
from fromnoise.settings import DataOptions

LOCK = "import.lock"
_FORMAT = 1  # of a store's files
_PIXELS = 2  # by which pictures become pixels and rows numbers: another one where these change, for stores in the cache
_ADVICE = "free some there, or let FROMNOISE_CACHE name a folder on another disk"
_ADVICE_OUT = "free some there, or give --out on another disk"


def stores_folder() -> Path:
    """Where the stores of this machine are."""
    return cache_dir() / "stores"


def rules_of(options: DataOptions) -> dict[str, Any]:
    """All settings that the pixels and labels of a store depend on."""
    names = ("resolution", "center_crop", "classes", "splits", "range", "channels")
    found = {name: getattr(options, name) for name in names}
    return found if options.conditions is None else {**found, "conditions": options.conditions}


class Stored:
    """`found` by way of its store: the same images, labels and notes.

    Arguments:
        place: what distinguishes the source from others, such as its path.
        out: the folder of the store; one in the cache if not given.
    """

    def __init__(self, found: Source, place: str, options: DataOptions, out: Path | None = None) -> None:
        self.name = found.name
        self._found, self._place, self._options, self._out = found, place, options, out
        self._advice = _ADVICE_OUT if out else _ADVICE

    def splits(self) -> tuple[str, ...]:
        """Those of the source."""
        about = self._about(self._folder(self._options))
        return tuple(about["splits"]) if about else self._found.splits()

    def state(self) -> str:
        """That of the source."""
        return self._state

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images of a split, from its store where there is one; images that are many are put into one."""
        folder = self._folder(options)
        found = self._opened(folder, split, options) or self._imported(folder, split, options)
        if not is_mapped(found.images):
            return found
        note = f"the images lie on the disk ({in_bytes(found.images.nbytes)}) and are read when they are used"
        return replace(found, notes=(*found.notes, note))

    @cached_property
    def _state(self) -> str:
        return self._found.state()

    def _folder(self, options: DataOptions) -> Path:
        if self._out:
            return self._out
        key = hashlib.sha256(json.dumps([self._place, rules_of(options), _PIXELS]).encode()).hexdigest()[:16]
        return stores_folder() / f"{file_part(self.name)}-{key}"

    def _about(self, folder: Path) -> dict[str, Any] | None:
        """What is written of a store whose source is still as it was; None without one."""
        if not _exists(folder / STORE):
            return None
        about = read_about(folder)
        if about is None or about["state"] != self._state:
            why = "is damaged" if about is None else "was made before its source changed"
            report_progress(f"the store of {self.name} {why}, so it is made again")
            with suppress(WriteError, OSError), self._locked(folder):
                if read_about(folder) == about:  # no other process has made it again meanwhile
                    _clear(folder)
            return None
        return about

    def _opened(self, folder: Path, split: str, options: DataOptions) -> SourceImages | None:
        """A split as it is stored; None where it is not, or not as it should be."""
        if self._about(folder) is None or not _exists(folder / split / MANIFEST):
            return None
        try:
            found = read_split(folder / split)
        except Damaged as error:
            report_progress(f"the store of {self.name} {error}, so it is made again")
            self._remove_damaged(folder, split)
            return None
        if found.bad and options.on_bad_image == "error":
            raise DataError(
                f"{found.bad[0]} of {self.name} cannot be read, so it is not in its store; fix or remove what is "
                "broken, or leave it out with --on_bad_image skip"
            )
        with suppress(OSError):
            os.utime(folder / STORE)  # when it was used last
        return found

    def _remove_damaged(self, folder: Path, split: str) -> None:
        with self._locked(folder):
            try:
                read_split(folder / split)  # another process may have made it again meanwhile
            except Damaged:
                shutil.rmtree(folder / split, ignore_errors=True)

    def _imported(self, folder: Path, split: str, options: DataOptions) -> SourceImages:
        part = folder / f"{split}.part"
        always = self._out is not None or options.store == "always"
        with ExitStack() as held:

            def enter() -> Folder:
                held.enter_context(self._locked(folder))
                if _exists(folder / split / MANIFEST):
                    raise _Ready
                self._begin(folder, part, options)
                return Folder(part, self._advice)

            area = Undecided(part, enter, always=always, begun=_exists(part))
            try:
                found = self._found.read(split, options, area)
                if area.disk is None and (not always or (is_mapped(found.images) and not self._out)):
                    if _exists(part):
                        _tidy(folder, part)  # there was no room on the disk
                    return found
                self._finish(area.to_disk(), found, folder / split)
            except _Ready:
                pass
            except BaseException:
                if area.disk:
                    _tidy(folder, part)
                raise
        images = self._opened(folder, split, options)
        if images is None:
            raise WriteError(f"{printable(str(folder))} was changed while it was written; try again")
        return images

    def _begin(self, folder: Path, part: Path, options: DataOptions) -> None:
        """Write what the store is made from."""
        doing = "going on with" if _exists(part) else "making"
        report_progress(f"{doing} the store of {self.name} ({part.stem}) in {printable(str(folder))}")
        with _writing(folder, self._advice):
            about = {
                "format": _FORMAT,
                "name": self.name,
                "source": self._place,
                "state": self._state,
                "rules": rules_of(self._options if self._out else options),
                "splits": list(self._found.splits()),
            }
            write_stored(folder / STORE, about, durable=True)
            part.mkdir(exist_ok=True)

    def _finish(self, area: Folder, found: SourceImages, goal: Path) -> None:
        """All of `found` into the folder `goal`, which then is whole."""
        planes = not area.holds(found.images) and found.images.strides[-1] == 0
        if not area.holds(found.images):
            area.open(*found.images.shape)
            with progress(f"storing {self.name}", len(found.images)) as advance:
                for block in blocks(found.images):
                    area.append(block)
                    advance(len(block))
        area.finish()
        with _writing(goal, self._advice):
            write_split(area, found, planes)
            area.folder.replace(goal)

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        """Hold `folder`; waits, and says so, while another process does."""
        from filelock import FileLock, Timeout

        lock, blocking = FileLock(folder / LOCK), False
        with _writing(folder, self._advice):
            while not lock.is_locked:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(blocking=blocking, poll_interval=0.2)
                except Timeout:
                    report_progress(f"another process imports {self.name}; waiting until it has")
                    blocking = True
                except FileNotFoundError:  # who held it has left nothing behind, not even the folder
                    continue
        try:
            yield
        finally:
            with suppress(OSError):
                if [path.name for path in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
                    folder.rmdir()
            lock.release()


class _Ready(Exception):
    """Another process has made the store meanwhile."""


@contextmanager
def _writing(folder: Path, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where, why = printable(str(folder)), error.strerror or type(error).__name__
        raise WriteError(f"the store {where} cannot be written ({why}); {advice}") from error


def read_about(folder: Path) -> dict[str, Any] | None:
    """What is written of the store in `folder`; None where it is damaged or not a store."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        about = read_stored(folder / STORE)
        known = set(about["splits"]) <= {"train", "test", "val"} and "train" in about["splits"]
        texts = all(isinstance(about[name], str) for name in ("name", "source", "state"))
        return about if about["format"] == _FORMAT and known and texts else None
    return None


def _exists(path: Path) -> bool:
    """Whether there is such a file, which there is not where nobody may look."""
    with suppress(PermissionError):
        return path.exists()
    return False


def _tidy(folder: Path, part: Path) -> None:
    """After an import that did not end, leave no more than what it can go on from."""
    with suppress(OSError):
        (part / SPARE).unlink(missing_ok=True)
        if not _exists(part / JOURNAL):
            shutil.rmtree(part, ignore_errors=True)
        if not any(path.is_dir() for path in folder.iterdir()):
            (folder / STORE).unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove all but the lock, the description first: without it, nothing of the rest is used."""
    (folder / STORE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
