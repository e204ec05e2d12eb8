"""Labels that come as a file beside the images.

    dataset.json     {"labels": [["00000/img0.png", 4], ...]} or null: StyleGAN's and EDM's
    metadata.jsonl   {"file_name": "a.png", "label": "cat"} on each line: that of datasets' ImageFolder
    metadata.csv     the same as a table

File names count from the folder that holds the file. A label is a whole number or a word; a one-hot row stands for the
place of its one.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.common.text import count, printable, some
from fromnoise.data.file_tree import Entry, Tree

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target")
_LARGEST = 512 * 2**20
_NAMED = 5

Path = tuple[str, ...]
Labels = dict[Path, str | None]
Row = Mapping[str, Any]
Table = tuple[Sequence[Row], list[str]]  # and the names of its columns
Rows = Iterator[tuple[Any, Any]] | None  # None: the images have no classes


def read_labels(tree: Tree, where: str) -> tuple[Labels, tuple[str, ...]]:
    """The class (None for none) of each image that a label file names, by its path below the root, and notes.

    Raises DataError for a damaged label file, and for one that names files which are not there, or a file twice with
    different classes.
    """
    labels: Labels = {}
    notes: tuple[str, ...] = ()
    there = {entry.full for entry in tree.entries} | tree.others
    for entry in tree.label_files:
        rows, said = _KINDS[entry.full[-1]](entry, where)
        notes += said
        if rows is None:
            folder = entry.full[:-1]
            labels |= {e.full: None for e in tree.entries if e.full[: len(folder)] == folder}
            continue
        pairs = [(_joined(entry.full[:-1], name), _class(value, entry, where)) for name, value in rows]
        own = dict(pairs)
        if several := list(dict.fromkeys(path for path, label in pairs if label != own[path])):
            what = f"gives {count(len(several), 'file')} more than one class ({_shown(several)}); leave one of them"
            raise _damaged(entry, where, what + ", or read all without classes by --set data.classes=none")
        if missing := [path for path in own if path not in there]:
            what = f"{count(len(missing), 'file')} that {'is' if len(missing) == 1 else 'are'} not there"
            raise _damaged(entry, where, f"names {what} ({_shown(missing)}); add what is missing, or remove its rows")
        labels |= own
    return labels, notes


def ordered(classes: set[str]) -> tuple[str, ...]:
    """Class names in label order: numbers by value, words by their letters."""
    numbers = all(name.removeprefix("-").isdecimal() and len(name) < 20 for name in classes)
    return tuple(sorted(classes, key=lambda name: (int(name), name))) if numbers else tuple(sorted(classes))


def labels_of(entries: Sequence[Entry], labels: Labels, where: str) -> list[str] | None:
    """The class of each image; None where the label files give none of them one. DataError where only some have one."""
    found = [labels.get(entry.full) for entry in entries]
    without = [entry.full for entry, label in zip(entries, found) if label is None]
    if len(without) == len(found):
        return None
    if without:
        raise DataError(
            f"the label files of {where} give no class for {len(without):,} of {count(len(found), 'image')} "
            f"({_shown(without)}); label them, or read all without classes by --set data.classes=none"
        )
    return [label for label in found if label is not None]


def _dataset_json(entry: Entry, where: str) -> tuple[Rows, tuple[str, ...]]:
    try:
        content = json.loads(_text(entry, where))
    except (ValueError, RecursionError) as error:
        raise _damaged(entry, where, f"is not JSON ({error}); fix or remove it") from error
    if not isinstance(content, dict) or "labels" not in content:
        return iter(()), (f"{entry.name} has no key labels, so it is not used",)
    rows = content["labels"]
    if rows is None:
        return None, (f"{entry.name} says that the images have no classes",)
    pairs = list(rows.items()) if isinstance(rows, dict) else rows
    if not isinstance(pairs, list) or not all(isinstance(row, list | tuple) and len(row) == 2 for row in pairs):
        raise _damaged(entry, where, "has labels that are not a list of [file name, label]; fix or remove it")
    if any(_is_vector(value) and _hot(value) is None for _, value in pairs):
        return None, (f"{entry.name} has vectors in place of classes, so the images have none",)
    return iter(pairs), ()


def read_tables(tree: Tree, where: str) -> Iterator[tuple[Entry, list[tuple[Path, Row]], list[str]]]:
    """The rows of each metadata.jsonl and metadata.csv with the path of their image, and the names of its columns.

    Raises DataError for a damaged file.
    """
    for entry in tree.label_files:
        if entry.full[-1] in _TABLES:
            rows, names = _TABLES[entry.full[-1]](entry, where)
            if "file_name" in names:
                yield entry, [(_joined(entry.full[:-1], row.get("file_name")), row) for row in rows], names


def _jsonl(entry: Entry, where: str) -> Table:
    rows = []
    # Not `splitlines`, which ends a line at characters that JSON's texts may hold.
    for number, line in enumerate(io.StringIO(_text(entry, where), newline=None), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _damaged(entry, where, f"is not JSON in line {number} ({error}); fix or remove it") from error
        if not isinstance(row, dict):
            raise _damaged(entry, where, f"has no object in line {number}; fix or remove it")
        rows.append(row)
    return rows, list(dict.fromkeys(key for row in rows for key in row))


def _csv(entry: Entry, where: str) -> Table:
    reader = csv.DictReader(io.StringIO(_text(entry, where), newline=""), strict=True)
    try:
        rows = [row for row in reader if any(row.values())]  # spreadsheets leave rows of commas alone
    except csv.Error as error:
        raise _damaged(entry, where, f"is not a table ({error}); fix or remove it") from error
    return rows, list(reader.fieldnames or ())


def _metadata(entry: Entry, where: str) -> tuple[Rows, tuple[str, ...]]:
    """The pairs of file and label in a table, none where it has no such columns."""
    rows, names = _TABLES[entry.full[-1]](entry, where)
    label = next((name for name in LABEL_COLUMNS if name in names), None)
    if "file_name" not in names or label is None:
        lacks = "file_name" if "file_name" not in names else "label"
        listed = some([printable(str(name)) for name in names]) or "none"
        return iter(()), (f"{entry.name} has no column {lacks} (it has: {listed}), so it gives no classes",)
    return ((row.get("file_name"), row.get(label)) for row in rows), ()


_KINDS: dict[str, Callable[[Entry, str], tuple[Rows, tuple[str, ...]]]] = {
    "dataset.json": _dataset_json,
    "metadata.jsonl": _metadata,
    "metadata.csv": _metadata,
}
_TABLES: dict[str, Callable[[Entry, str], Table]] = {"metadata.jsonl": _jsonl, "metadata.csv": _csv}


def _class(value: Any, entry: Entry, where: str) -> str | None:
    """A label as the name of its class; None where it is empty."""
    if _is_vector(value):
        value = _hot(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str | int):
        raise _damaged(
            entry,
            where,
            f"has the label {printable(repr(value))[:40]}, but expected a word or a whole number; fix it, or leave "
            "labels out by --set data.classes=none",
        )
    return unicodedata.normalize("NFC", str(value))


def _is_vector(value: Any) -> bool:
    return isinstance(value, list)


def _hot(vector: list[Any]) -> int | None:
    """The place of the one 1 among zeros; None for any other vector."""
    return vector.index(1) if vector.count(1) == 1 and vector.count(0) == len(vector) - 1 else None


def _joined(folder: Path, name: Any) -> Path:
    parts = unicodedata.normalize("NFC", str(name)).replace("\\", "/").split("/")
    return (*folder, *(part for part in parts if part not in ("", ".")))


def _text(entry: Entry, where: str) -> str:
    try:
        with entry.open() as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise OSError(f"it has more than {_LARGEST:,} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _damaged(entry, where, "is not UTF-8; save it as UTF-8 or remove it") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged member of a .zip raises what its compression happens to raise
        raise _damaged(entry, where, f"cannot be read ({printable(str(error))}); fix or remove it") from error


def _damaged(entry: Entry, where: str, what: str) -> DataError:
    return DataError(f"{printable('/'.join(entry.full))} in {where} {what}")


def _shown(paths: Sequence[Path]) -> str:
    return some([printable("/".join(path)) for path in paths], _NAMED)
