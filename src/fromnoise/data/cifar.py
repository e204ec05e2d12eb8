"""CIFAR-10 in its binary version, read from the archive without unpacking it.

    one record = 1 byte label | 1024 bytes red | 1024 green | 1024 blue, rows of 32      10,000 records a file

The other published versions are pickles, which can run code when they are opened; they are not read.
Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, first_line, printable
from fromnoise.data.area import Area
from fromnoise.data.registry import DATASETS
from fromnoise.data.source import SourceImages, from_arrays
from fromnoise.data.state import state_of
from fromnoise.settings import DataOptions

_RECORD = 1 + 3 * 32 * 32
_LARGEST_FILE = 10_000 * _RECORD
_MEMBERS = {"train": re.compile(r"data_batch_[1-5]\.bin"), "test": re.compile(r"test_batch\.bin")}


class Cifar:
    """cifar-10-binary.tar.gz, or the folder of its .bin files."""

    name = "cifar10"

    def __init__(self, path: Path) -> None:
        self._path = path

    def splits(self) -> tuple[str, ...]:
        """Both."""
        return ("train", "test")

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images and labels of a split; DataError when the files are damaged or missing."""
        try:
            files = self._from_folder(split) if self._path.is_dir() else self._from_archive(split)
        except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
            text = first_line(error).rstrip(":")  # tarfile lists all that it tried
            raise self._damaged(f"cannot be read ({text})") from error
        if not files:
            raise self._damaged(f"holds no {_MEMBERS[split].pattern} of the binary version".replace("\\", ""))
        for name, content in files.items():
            if not content or len(content) % _RECORD:
                raise self._damaged(f"holds a damaged {name} ({len(content):,} bytes are not whole records)")
        labels, images = _records(b"".join(files[name] for name in sorted(files)))
        classes, published = DATASETS["cifar10"].classes, DATASETS["cifar10"].counts[split == "test"]
        if labels.max() >= len(classes):
            raise self._damaged(f"holds label {labels.max()}, but there are {len(classes)} classes")
        partial = len(labels) != published
        notes = (f"{count(len(labels), 'image')} in place of the published {published:,}",) if partial else ()
        return from_arrays(images, labels, classes, options, notes, area)

    def state(self) -> str:
        """By the sizes and times of its files."""
        return state_of((self._path,))

    def _from_folder(self, split: str) -> dict[str, bytes]:
        paths = [path for path in self._path.iterdir() if _MEMBERS[split].fullmatch(path.name)]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def _from_archive(self, split: str) -> dict[str, bytes]:
        files = {}
        with tarfile.open(self._path, "r:*") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                # Only plain files of a plausible size, by name: nothing in the archive decides what is read.
                if member.isfile() and member.size <= _LARGEST_FILE and _MEMBERS[split].fullmatch(name):
                    stream = archive.extractfile(member)
                    files[name] = stream.read() if stream else b""
        return files

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{printable(str(self._path))} {what}; replace it with an intact copy")


def _records(content: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Labels int64 (N,) and images uint8 (N, 32, 32, 3)."""
    table = np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return table[:, 0].astype(np.int64), np.ascontiguousarray(images)
