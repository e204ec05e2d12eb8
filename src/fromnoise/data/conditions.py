"""Numbers beside images, by which a network is conditioned: columns of metadata.csv, or keys of an .npz.

`data.conditions` names them. A number that is missing is NaN, and the image is then trained on without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.image_spec import Condition
from fromnoise.common.text import count, printable, some
from fromnoise.data.file_tree import Entry, Tree
from fromnoise.data.label_files import Path, Row, read_tables

Numbers = Mapping[str, NDArray[np.float32]]
"""Values (N,) by name."""


TAKEN = ("images", "seeds", "labels", "classes", "file", "allow_pickle")  # beside the numbers in an .npz of samples


def condition_names(text: str | None) -> tuple[str, ...]:
    """The names in the setting data.conditions, such as "slant,thickness"; UsageError for an empty or a second one."""
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if taken := [name for name in names if name in TAKEN]:
        raise UsageError(
            f"data.conditions has '{taken[0]}', a name that files of samples have for something else; rename it"
        )
    if "" in names or len(set(names)) < len(names) or any("=" in name for name in names):
        raise UsageError(
            f"data.conditions is '{printable(str(text))}', but expected names with commas, each once and without '='; "
            "write --conditions slant,thickness"
        )
    return names


def read_conditions(tree: Tree, entries: Sequence[Entry], names: Sequence[str], where: str) -> Numbers:
    """The numbers of each of `entries` from the columns `names` of the tree's metadata files, NaN for none.

    Of several files that give an image a number, the last by its path counts.

    Raises DataError for a column that no file has, for a value that cannot be read as a number, and for a file that
    gives an image two.
    """
    found: dict[tuple[Path, str], float] = {}
    known: list[str] = []
    for entry, rows, columns in read_tables(tree, where):
        known += [name for name in columns if name != "file_name" and name not in known]
        found |= _given(rows, [name for name in names if name in columns], entry, where)
    if strangers := [name for name in names if name not in known]:
        there = some([printable(str(name)) for name in known]) or "none"
        raise DataError(
            f"{where} has no column {printable(strangers[0])} in its metadata.csv or metadata.jsonl (columns beside "
            f"file_name: {there}); add it, or name another with --conditions"
        )
    return {
        name: np.array([found.get((entry.full, name), math.nan) for entry in entries], dtype=np.float32)
        for name in names
    }


def _given(
    rows: Iterable[tuple[Path, Row]], names: Sequence[str], entry: Entry, where: str
) -> dict[tuple[Path, str], float]:
    """The numbers that the rows of one file give, by image and name; DataError where they give an image two."""
    given: dict[tuple[Path, str], float] = {}
    for path, row in rows:
        for name in names:
            number = _number(row.get(name), name, entry, where)
            if not math.isnan(number) and given.setdefault((path, name), number) != number:
                raise DataError(
                    f"{printable('/'.join(entry.full))} in {where} gives {printable('/'.join(path))} two numbers in "
                    f"the column {printable(name)} ({given[path, name]:g} and {number:g}); leave one of them"
                )
    return given


def _number(value: Any, name: str, entry: Entry, where: str) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan")):
        return math.nan
    try:
        number = float(value)
        if isinstance(value, bool) or math.isinf(number):
            raise ValueError
        return number
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{printable('/'.join(entry.full))} in {where} has {printable(repr(value))[:40]} in the column "
            f"{printable(name)}, but a condition is a number; fix it, or leave it empty where it is not known"
        ) from None


def as_tensor(numbers: Numbers, wanted: Sequence[str], name: str) -> Tensor | None:
    """float32 (N, K) in the order of `wanted`; None where none is wanted. DataError where the source has them not."""
    if not wanted:
        return None
    if missing := [one for one in wanted if one not in numbers]:
        raise DataError(
            f"{name} holds no numbers called {printable(missing[0])} beside its images; save images and numbers "
            "together as an .npz, or add a metadata.csv to a folder of images, or leave --conditions out"
        )
    return torch.from_numpy(np.stack([numbers[one] for one in wanted], axis=1).astype(np.float32))


def conditions_of(values: Tensor, names: Sequence[str], name: str) -> tuple[Condition, ...]:
    """Mean, deviation and range of each column of `values` (N, K); DataError for one that is nowhere two numbers."""
    found = []
    for column, one in zip(values.double().T, names, strict=True):
        known = column[~column.isnan()]
        if len(known) < 2 or float(known.min()) == float(known.max()):
            what = f"{float(known[0]):g} for all" if len(known) else "not given for any"
            raise DataError(
                f"{printable(one)} of {name} is {what} of {count(len(values), 'image')}, but a condition needs at "
                "least two values; leave it out of --conditions"
            )
        least, most = float(known.min()), float(known.max())
        found.append(Condition(printable(one), float(known.mean()), float(known.std(correction=0)), least, most))
    return tuple(found)
