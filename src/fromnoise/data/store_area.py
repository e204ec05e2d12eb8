"""The area in a folder: pixels go to a file, with a journal, so that an import that was killed goes on.

    pixels-C.u8       uint8 (N, C, H, W) of the images so far
    journal.json      how many of them are on the disk, the digests of their blocks, and what else goes with them
    spare             what a source unpacked on the way

`Undecided` is in memory until it knows that the images take more than a share of the memory that is free.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import WriteError
from fromnoise.common.files import disk_free, sync_folder
from fromnoise.common.free_memory import free_memory
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.common.text import in_bytes, printable
from fromnoise.data.area import Area, Memory
from fromnoise.data.mapped import map_pixels

SHARE = 0.5  # of the memory that is free: images that take more are put on the disk
BLOCK_BYTES = 2**25  # about so much has one digest
JOURNAL, SPARE = "journal.json", "spare"


class Folder:
    """An area in `folder`, which only the process that holds its lock may write to.

    After `taken`, `digests` holds the SHA-256 of each `block` images. advice: what to do where the disk is full.
    """

    def __init__(self, folder: Path, advice: str) -> None:
        self.folder, self._advice = folder, advice
        self._file: BinaryIO | None = None
        self._kept: dict[str, Any] | None = None
        self.shape, self.number, self.block, self.digests = (0, 0, 0), 0, 1, list[str]()

    @property
    def pixels(self) -> Path:
        """The file of the pixels."""
        return self.folder / f"pixels-{self.shape[0]}.u8"

    def open(self, number: int, height: int, width: int, channels: int) -> None:
        """Begin a file; WriteError where it will not fit on the disk."""
        before = self.pixels if self._file else None
        self._close()
        self.shape = (channels, height, width)
        self.number, self.digests = 0, []
        self.block = max(1, BLOCK_BYTES // (channels * height * width))
        self._kept = None
        with self._written():
            (self.folder / JOURNAL).unlink(missing_ok=True)  # it tells of another file
            self._must_fit(number * channels * height * width)
            if before == self.pixels:
                before.unlink()
            self._file = self.pixels.open("wb")
        self._digest = hashlib.sha256()

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images at the end."""
        assert self._file is not None
        left = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        while len(left):
            part = left[: self.block - self.number % self.block]
            with self._written():
                self._file.write(part.data)
            self._digest.update(part.data)
            self.number += len(part)
            if self.number % self.block == 0:
                self.digests.append(self._digest.hexdigest())
                self._digest = hashlib.sha256()
            left = left[len(part) :]

    def taken(self) -> NDArray[np.uint8]:
        """All images so far, mapped."""
        assert self._file is not None
        channels, height, width = self.shape
        if not self.number:
            return np.empty((0, height, width, channels), dtype=np.uint8)
        with self._written():
            self._file.flush()
        return map_pixels(self.pixels, (self.number, *self.shape)).transpose(0, 2, 3, 1)

    def spare(self, size: int, where: str) -> Path | None:
        """A file of that size."""
        with self._written():
            self._must_fit(size)
            allocate(self.folder / SPARE, size)
        return self.folder / SPARE

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the journal where at least a block has been added since it was written last."""
        assert self._file is not None
        if self.number < (self._kept or {"number": 0})["number"] + self.block:
            return
        about = state()  # which appends what is not there yet
        with self._written():
            self._file.flush()
            os.fsync(self._file.fileno())
            begun = self.number % self.block * int(np.prod(self.shape))
            self._kept = {"shape": self.shape, "number": self.number, "digests": self.digests, "begun": begun}
            write_stored(self.folder / JOURNAL, self._kept | {"state": about}, durable=True)

    def kept(self) -> Mapping[str, Any] | None:
        """The state of the journal, with the pixels of then; None without one, or where these are not there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return self._resumed(read_stored(self.folder / JOURNAL))
        return None

    def finish(self) -> None:
        """All is on the disk, and nothing else is in the folder but the journal."""
        assert self._file is not None
        with self._written():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._close()
            if self.number % self.block:
                self.digests.append(self._digest.hexdigest())
            for path in self.folder.iterdir():
                if path not in (self.pixels, self.folder / JOURNAL):
                    path.unlink()
            sync_folder(self.folder)

    def holds(self, images: NDArray[np.uint8]) -> bool:
        """Whether these are the images of the area."""
        mapped = getattr(images, "filename", None)
        return mapped is not None and self.number == len(images) and Path(mapped) == self.pixels.resolve()

    def _resumed(self, journal: Mapping[str, Any]) -> Mapping[str, Any]:
        channels, height, width = map(int, journal["shape"])
        self.shape, self.number = (channels, height, width), int(journal["number"])
        image = channels * height * width
        self.block = max(1, BLOCK_BYTES // image)
        self.digests = list(journal["digests"])
        state: Mapping[str, Any] = journal["state"]
        if len(self.digests) != self.number // self.block or self.pixels.stat().st_size < self.number * image:
            raise ValueError("the pixels are not those of the journal")
        self._file = self.pixels.open("r+b")
        self._file.seek(len(self.digests) * self.block * image)
        self._digest = hashlib.sha256(self._file.read(int(journal["begun"])))
        self._file.truncate(self.number * image)
        self._kept = dict(journal)
        return state

    def _must_fit(self, size: int) -> None:
        free = disk_free(self.folder)
        if size > free:
            raise WriteError(
                f"the images take {in_bytes(size)} in {printable(str(self.folder))}, but only {in_bytes(free)} of disk "
                f"are free; {self._advice}"
            )

    @contextmanager
    def _written(self) -> Iterator[None]:
        """A WriteError where the system refuses; nothing is left in the folder where the disk is full."""
        try:
            yield
        except OSError as error:
            with suppress(OSError):
                self._close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                shutil.rmtree(self.folder, ignore_errors=True)
            where, why = printable(str(self.folder)), error.strerror or type(error).__name__
            raise WriteError(f"the images cannot be written to {where} ({why}); {self._advice}") from error

    def _close(self) -> None:
        if self._file:
            file, self._file = self._file, None
            file.close()


class Undecided:
    """In memory, or in a folder where the images are many.

    Arguments:
        folder: where that is.
        enter: gives the folder once it is this process's alone to write to; may raise what `read` of a source raises.
        always: put all images into the folder.
        begun: whether the folder has something to go on from.

    Attributes:
        disk: the area in the folder, None while all is in memory.
    """

    def __init__(self, folder: Path, enter: Callable[[], Folder], *, always: bool, begun: bool) -> None:
        self._folder, self._enter, self._always, self._begun = folder, enter, always, begun
        self.disk: Folder | None = None
        self._refused = False  # for want of room on the disk
        self._memory = Memory()

    def open(self, number: int, height: int, width: int, channels: int) -> None:
        """Begin where there is room."""
        size = number * height * width * channels
        if not self._refused and (self.disk or self._always or too_large(size)):
            try:
                self.to_disk().open(number, height, width, channels)
                return
            except WriteError as error:
                free = free_memory()
                if self._always or (free is not None and size > free):
                    raise
                self.disk, self._refused = None, True
                report_progress(f"{error}; for now all images are held in memory")
        self._memory.open(number, height, width, channels)

    def append(self, images: NDArray[np.uint8]) -> None:
        """Add images."""
        self._area.append(images)

    def taken(self) -> NDArray[np.uint8]:
        """All images so far."""
        return self._area.taken()

    def spare(self, size: int, where: str) -> Path | None:
        """A file for what is too large for the memory, where there is room for it; DataError where there is nowhere."""
        roomy = too_large(size) and size <= disk_free(self._folder)
        return self.to_disk().spare(size, where) if roomy else self._memory.spare(size, where)

    def keep(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """In the folder's journal."""
        self._area.keep(state)

    def kept(self) -> Mapping[str, Any] | None:
        """Of an import that was begun."""
        return self.to_disk().kept() if self._begun else None

    def to_disk(self) -> Folder:
        """The area in the folder, which all that follows goes to."""
        self.disk = self.disk or self._enter()
        return self.disk

    @property
    def _area(self) -> Area:
        return self.disk or self._memory


def too_large(size: int) -> bool:
    """Whether so many bytes are more than the share of the free memory that images may take.

    Of processes that torchrun starts on one machine, each would hold them.
    """
    free, processes = free_memory(), os.environ.get("LOCAL_WORLD_SIZE", "1")
    return free is not None and size * (int(processes) if processes.isdecimal() else 1) > SHARE * free


def allocate(path: Path, size: int) -> None:
    """A file of `size` bytes that the disk has room for, so that writing to its map cannot fail."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        zeros = bytes(2**20)
        for start in range(0, size, len(zeros)):
            file.write(zeros[: size - start])
