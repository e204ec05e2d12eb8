"""A folder or file of Parquet or Arrow tables, as the hub's library writes them, by the extra `datasets`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.common.text import first_line, printable
from fromnoise.data.hub import Hub, library
from fromnoise.data.state import state_of

KINDS = {".parquet": "parquet", ".arrow": "arrow"}
_SAVED = ("dataset_dict.json", "dataset_info.json")  # in what `save_to_disk` wrote


def holds_tables(path: Path) -> bool:
    """Whether the folder has tables, itself or in data/, or is what `save_to_disk` wrote."""
    for folder in (path, path / "data"):
        if folder.is_dir():
            with os.scandir(folder) as names:
                if any(_is_table(entry.name) for entry in names):
                    return True
    return False


def _is_table(name: str) -> bool:
    return name in _SAVED or (Path(name).suffix.lower() in KINDS and Path(name).stem != "metadata")  # of pictures


class Tables(Hub):
    """The tables at `path`; their splits are known by their names, as the hub knows them."""

    def __init__(self, path: Path) -> None:
        self.name = printable(path.stem if path.is_file() else path.resolve().name)
        self._source, self._place = printable(str(path)), path

    def state(self) -> str:
        """By the sizes and times of the files."""
        return state_of((self._place,))

    @cached_property
    def _tables(self) -> dict[str, Any]:
        place = str(self._place.resolve())
        if self._place.is_file():
            kind = KINDS[self._place.suffix.lower()]
            return dict(self._ask(lambda datasets: datasets.load_dataset(kind, data_files=place)))
        if any((self._place / name).is_file() for name in _SAVED):
            found = self._ask(lambda datasets: datasets.load_from_disk(place))
            return dict(found) if isinstance(found, dict) else {"train": found}
        return dict(self._ask(lambda datasets: datasets.load_dataset(place)))

    def _table(self, own: str) -> Any:
        return self._tables[own]

    def _listed(self) -> list[str]:
        return list(self._tables)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        known = library(f"{self._source}, a table")
        try:
            return question(known)
        except Exception as error:  # the library raises a great many types, all of them about these files
            raise DataError(f"{self._source} cannot be loaded: {first_line(error)}; replace what is broken") from error
