"""A folder that `fromnoise data import` wrote, as a source: its images are read where they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fromnoise.common.errors import DataError
from fromnoise.common.text import printable
from fromnoise.data.area import Area
from fromnoise.data.resize import parse_resolution
from fromnoise.data.source import SourceImages, from_arrays, no_split
from fromnoise.data.state import STORE, state_of
from fromnoise.data.store_files import MANIFEST, Damaged, read_split
from fromnoise.data.stored import read_about
from fromnoise.settings import DataOptions


class StoreSource:
    """One such folder, of this machine or copied from another."""

    def __init__(self, path: Path) -> None:
        self._path, self._where = path, printable(str(path))
        about = read_about(path)
        if about is None:
            raise self._damaged(f"has a damaged {STORE}")
        self.name = printable(about["name"])
        self._splits: tuple[str, ...] = tuple(about["splits"])

    def splits(self) -> tuple[str, ...]:
        """Those that were imported."""
        return self._splits

    def state(self) -> str:
        """By what was written beside the images."""
        return state_of([self._path / STORE, *(self._path / split / MANIFEST for split in self._splits)])

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images of a split; DataError where they are damaged.

        Their range and their size are right already, so only one that is asked for by its value changes them.
        """
        if split not in self._splits:
            raise no_split(self.name, split, self._splits, "import a source that has one")
        try:
            found = read_split(self._path / split)
        except Damaged as error:
            raise self._damaged(f"{error} ({split})") from error
        if options.classes == "none":
            found = replace(found, labels=None, classes=())
        _, height, width, channels = found.images.shape
        size = parse_resolution(options.resolution) if options.resolution else (height, width)
        ranged = options.range not in ("auto", "full", found.range)  # which its pixels were read by
        if size == (height, width) and options.channels in (None, channels) and not ranged:
            return found
        chosen = replace(options, resolution=f"{size[0]}x{size[1]}", range=options.range if ranged else "full")
        made = from_arrays(found.images, found.labels, found.classes, chosen, (), area)
        notes = tuple(dict.fromkeys((*found.notes, *made.notes)))
        read_as = made.range if ranged else found.range
        return replace(found, images=made.images, notes=notes, range=read_as)

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self._where} {what}; copy it again, or make it again with `fromnoise data import`")
