"""Image data sets of the Hugging Face hub, `hf:owner/name` or `hf:owner/name:config`, by the extra `datasets`.

The first column of images is read; a column of class labels, if there is one, gives the labels. The files come
as bytes and go through the same decoding as a folder's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.extras import extra
from fromnoise.common.text import first_line, printable, some
from fromnoise.data.area import Area
from fromnoise.data.decode_many import read_items
from fromnoise.data.download import offline, within_reach
from fromnoise.data.source import SourceImages, no_split
from fromnoise.settings import DataOptions

PREFIX = "hf:"
_TEST_NAMES = ("test", "validation", "valid", "val")


@dataclass(frozen=True)
class _Row:
    """One image of a table, its bytes read from the table when opened."""

    name: str
    open: Callable[[], BinaryIO]


class _Rows(Sequence[_Row]):
    """The images of a table, which stays in its files: a row is made when it is looked at."""

    def __init__(self, table: Any, column: str) -> None:
        self._table, self._column = table, column

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < len(self):
            raise IndexError(place)
        return _Row(f"row {place}", partial(_bytes, self._table, place, self._column))


class Hub:
    """One data set of the hub."""

    def __init__(self, source: str) -> None:
        path, _, config = source.removeprefix(PREFIX).partition(":")
        if not path or path.count("/") > 1 or path.strip("/") != path:
            raise UsageError(f"'{printable(source)}' names no data set of the hub; expected hf:owner/name")
        self.name = printable(path.rsplit("/", 1)[-1])
        self._source = printable(source)
        self._path, self._config = path, config or None

    def splits(self) -> tuple[str, ...]:
        """Those that the hub lists: train, and test or validation."""
        return tuple(self._split_names())

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """All images of a split; UsageError without the extra, DataError without a network or images."""
        names = self._split_names()
        if split not in names:
            raise no_split(self.name, split, tuple(names), "choose a data set that has one")
        table = self._table(names[split])
        image, label = self._columns(table)
        rows = table.select_columns([image]).cast_column(image, library().Image(decode=False))
        items = _Rows(rows, image)
        notes: tuple[str, ...] = () if names[split] == split else (f"the {names[split]} split serves as {split} split",)
        if aside := [printable(name) for name in table.features if name not in (image, label)]:
            how = "" if label else "; classes are in a column of the kind ClassLabel"
            notes += (f"columns left aside: {some(aside)}{how}",)
        if label is None or options.classes == "none":
            return read_items(self._source, items, None, (), options, notes, area)
        labels = list(table[label])
        if any(value is None or value < 0 for value in labels):
            notes += (f"the {names[split]} split hides its labels, so its images have no classes",)
            return read_items(self._source, items, None, (), options, notes, area)
        return read_items(self._source, items, labels, tuple(table.features[label].names), options, notes, area)

    def state(self) -> str:
        """By the library's fingerprints of the tables."""
        names = self._split_names()
        tables = [self._table(own) for own in names.values()]
        return " ".join(table._fingerprint for table in tables)

    def _table(self, own: str) -> Any:
        """The table of a split by the hub's name of it."""
        return self._ask(lambda library: library.load_dataset(self._path, self._config, split=own))

    def _listed(self) -> list[str]:
        """The hub's names of the splits."""
        names: list[str] = self._ask(lambda library: library.get_dataset_split_names(self._path, self._config))
        return names

    def _split_names(self) -> dict[str, str]:
        """Our split names to the hub's."""
        listed = self._listed()
        names = {"train": "train"} if "train" in listed else {}
        test = next((name for name in _TEST_NAMES if name in listed), None)
        if "train" not in names:
            raise DataError(f"{self._source} has the splits {some(listed)}, but no train; choose another data set")
        return names if test is None else names | {"test": test}

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """The library's answer, after a look whether the hub can be reached at all (it would retry for minutes)."""
        known = library()
        home = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        from_copy = os.environ.get("HF_HUB_OFFLINE") == "1"
        if not from_copy and (offline() or not within_reach(home)):
            why = "FROMNOISE_OFFLINE is set" if offline() else f"{home} does not answer"
            raise DataError(
                f"{self._source} cannot be fetched because {why}; connect, or set HF_HUB_OFFLINE=1 to use a copy "
                "that was downloaded before"
            )
        try:
            return question(known)
        except Exception as error:  # the library raises a great many types, all of them about this data set
            why = first_line(error)
            raise DataError(f"{self._source} cannot be loaded: {why}; check its name on {home}") from error

    def _columns(self, table: Any) -> tuple[str, str | None]:
        """The names of the image column and of the class label column, if any."""
        known, kinds = library(), table.features
        images = [name for name, kind in kinds.items() if isinstance(kind, known.Image) or _is_file(kind)]
        if not images:
            raise DataError(f"{self._source} has the columns {some(list(kinds))}, but none of images; choose another")
        labels = [name for name, kind in kinds.items() if isinstance(kind, known.ClassLabel)]
        return images[0], "label" if "label" in labels else next(iter(labels), None)


def _bytes(rows: Any, place: int, column: str) -> BinaryIO:
    cell = rows[place][column]
    if cell is None:
        raise OSError("it holds no image")
    if cell["bytes"] is not None:
        return BytesIO(cell["bytes"])
    return open(cell["path"], "rb")


def _is_file(kind: Any) -> bool:
    """Whether a column of a table that says no more holds the bytes of files."""
    return "bytes" in kind if isinstance(kind, dict) else getattr(kind, "dtype", "") in ("binary", "large_binary")


def library(purpose: str = "a data set named hf:owner/name") -> Any:
    """The module `datasets`; UsageError with the pip line when it is not installed."""
    with extra("hub", purpose):
        import datasets
    return datasets
