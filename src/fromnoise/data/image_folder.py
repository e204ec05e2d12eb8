"""A folder of images, or a .zip of such a folder that is read in place and never unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, printable
from fromnoise.data.area import Area
from fromnoise.data.decode_many import read_items
from fromnoise.data.file_tree import Tree, walk_folder, walk_zip
from fromnoise.data.folder_layout import Split, arrange
from fromnoise.data.formats import SUFFIXES, heif_installed, left_aside, unread_pictures
from fromnoise.data.source import SourceImages, no_split
from fromnoise.data.state import state_of
from fromnoise.settings import DataOptions


class ImageFolder:
    """Image files by class folder and split, as `folder_layout` describes."""

    def __init__(self, path: Path, options: DataOptions) -> None:
        self.name = printable(path.stem if path.is_file() else path.resolve().name)
        self._path = path
        self._options = options
        self._where = printable(str(path))

    def splits(self) -> tuple[str, ...]:
        """Those that hold any file with an image's suffix; DataError when there is none to train on."""
        with self._tree() as tree:
            return tuple(self._arranged(tree))

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """All images of a split, decoded and brought to one shape."""
        with self._tree() as tree:
            found = self._arranged(tree)
            if split not in found:
                raise no_split(self.name, split, tuple(found), "put its images under test/, beside train/")
            part = found[split]
            notes = part.notes + left_aside(tree.ignored)
            return read_items(
                self._where, part.entries, part.labels, part.classes, options, notes, area, part.conditions
            )

    def state(self) -> str:
        """By the sizes and times of its files, and by whether those in HEIC can be read."""
        return state_of((self._path,)) + (" with HEIC" if heif_installed() else "")

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        if self._path.is_dir():
            yield walk_folder(self._path)
            return
        try:
            archive = zipfile.ZipFile(self._path)
        # zipfile raises NotImplementedError for an archive of a later version of the format.
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._where} cannot be opened as .zip ({error}); replace it") from error
        with archive:
            yield walk_zip(archive, self._where)

    def _arranged(self, tree: Tree) -> dict[str, Split]:
        found = arrange(tree, self.name, self._options)
        if "train" not in found:
            place = " under train/" if found else ""
            if unread := unread_pictures(tree.ignored):
                raise DataError(f"{self._where} holds no images{place} that can be read here, but {unread}")
            others = sum(tree.ignored.values())
            here = f" ({count(others, 'other file')} in it)" if others else ""
            raise DataError(f"{self._where} holds no images{place}{here}; put in files ending in {', '.join(SUFFIXES)}")
        return found
