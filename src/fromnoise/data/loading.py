"""From what the user wrote to images in memory: which kind of source it is, and what it gives.

A name in `DATASETS` comes first (write ./mnist for a folder of that name), then `hf:`, then a path: a folder of
images, of IDX files or of tables, a .zip, an .npz, .npy, IDX or Parquet file, distinguished by what they hold.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, Unpack

import numpy as np

from fromnoise.common.errors import DataError, UsageError, unknown
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import changed
from fromnoise.common.text import count, printable
from fromnoise.data.area import Area
from fromnoise.data.channels import check_channels
from fromnoise.data.cifar import Cifar
from fromnoise.data.conditions import as_tensor, condition_names, conditions_of
from fromnoise.data.digits import Digits
from fromnoise.data.download import obtain
from fromnoise.data.formats import is_readable, unread_pictures
from fromnoise.data.holdout import divided
from fromnoise.data.idx import Idx, find_pairs, is_idx, pairs_around
from fromnoise.data.image_data import ArrayData
from fromnoise.data.mapped import is_mapped
from fromnoise.data.npy import Npy
from fromnoise.data.npz import Npz
from fromnoise.data.registry import DATASETS, Dataset
from fromnoise.data.resize import parse_resolution
from fromnoise.data.room import channels_first
from fromnoise.data.source import Source, SourceImages
from fromnoise.data.state import STORE
from fromnoise.data.store_source import StoreSource
from fromnoise.data.stored import Stored
from fromnoise.data.tables import KINDS, Tables, holds_tables
from fromnoise.data.value_range import parse_range
from fromnoise.settings import DataOptions, DataSettings

if TYPE_CHECKING:
    from fromnoise.data.rows import Pixels

SplitName = Literal["train", "test"]
T = TypeVar("T")


def load(
    source: str | os.PathLike[str] | DataOptions, split: SplitName = "train", **settings: Unpack[DataSettings]
) -> ArrayData:
    """All images of a split, uint8 in memory, with what was found and converted in `notes`.

    Where a source has no test split, the share `holdout` of its images is its test split and not its train split.

    Arguments:
        source: a data set's name, a folder or .zip of images, .npz, IDX, or hf:owner/name; or all options at once.
            A pathlib.Path is always a path, even where a data set has that name.
        split: "train" or "test".
        settings: other data options, such as resolution="32".

    Raises:
        UsageError: for an unknown name or resolution.
        DataError: for data that is missing, broken, or has no such split.
    """
    options = changed(source if isinstance(source, DataOptions) else DataOptions(source_text(source)), settings, "data")
    try:
        return _loaded(options, split)
    except MemoryError as error:
        place = f" ({error})" if str(error) else ""
        raise DataError(
            f"{printable(options.source)} does not fit into the memory that is free{place}; close other programs, "
            "or keep the images on the disk with --set data.store=always"
        ) from error


def source_text(source: str | os.PathLike[str]) -> str:
    """`source` as settings hold it: a path is written so that it cannot be the name of a data set."""
    if isinstance(source, str):
        return source
    path = Path(source).expanduser()
    return str(path) if path.is_absolute() else f"./{path}"


def _loaded(options: DataOptions, split: SplitName) -> ArrayData:
    found = open_source(options)
    if options.holdout and "test" not in found.splits():
        train = divided(as_data(found.read("train", options), found.name, "train", options), options.holdout)
        part = {"train": train, "test": train.held_out}.get(split)
        if part is not None:
            return part
    data = as_data(found.read(split, options), found.name, split, options)
    if split == "test" and options.range == "auto" and (data.range != "full" or is_deep(data.notes)):
        # Both splits are read alike: the range is that of the images to train on.
        values = found.read("train", options).range
        if values != data.range:
            return as_ranged(options, values, lambda read: as_data(found.read(split, read), found.name, split, options))
    return data


def is_deep(notes: Sequence[str]) -> bool:
    """Whether `notes` of images say that they have 16 bits, of which another split may fill another part."""
    return any("16-bit" in note for note in notes)


def as_ranged(options: DataOptions, values: str, read: Callable[[DataOptions], T]) -> T:
    """`read` of a test split by the range of its training images; as it is where 8 bits cannot hold their 16."""
    try:
        return read(replace(options, range=values))
    except UsageError:
        if options.range != "auto":
            raise
    return read(replace(options, range="full"))


def unseen(options: DataOptions, train: ArrayData) -> ArrayData | None:
    """Images like those of `train` that are not among them: held out, or the test split; None where there are none.

    A test split is read at the size of `train`; one of another kind or with other classes is a DataError. Where it has
    no classes at all, its labels are None.
    """
    if train.held_out is not None or "test" not in splits(options):
        return train.held_out
    height, width = train.spec.height, train.spec.width
    sized = replace(options, resolution=f"{height}x{width}")
    test = as_ranged(sized, train.range, lambda read: load(read, "test"))
    if options.channels is None and test.spec.channels < train.spec.channels:  # grey images are colour images as well
        sized = replace(sized, channels=train.spec.channels)
        test = as_ranged(sized, train.range, lambda read: load(read, "test"))
    if test.spec.shape != train.spec.shape or test.spec.classes not in ((), train.spec.classes):
        raise DataError(
            f"{train.name} has {train.spec} to train on, but its test split has {test.spec}; give both the same kind "
            "of images and the same classes"
        )
    if test.labels is None and train.labels is not None:
        return replace(test, conditions=None)  # a network that knows classes never saw numbers without one
    return test


def splits(options: DataOptions) -> tuple[str, ...]:
    """Which of "train" and "test" exist in the source; raises what `load` raises."""
    return open_source(options).splits()


def describe(data: ArrayData) -> str:
    """One line: `mnist: 60,000 images, 28x28 grey, 10 classes`."""
    part = "" if data.split == "train" else f" ({data.split})"
    return f"{data.name}{part}: {count(len(data), 'image')}, {data.spec}"


def as_data(found: SourceImages, name: str, split: str, options: DataOptions) -> ArrayData:
    """A SourceImages as tensors; DataError for fewer than two images to train on, or without `data.conditions`."""
    import torch

    from fromnoise.data.rows import Rows

    number, height, width, channels = found.images.shape
    if number < 2 and split == "train":
        lost = f" ({count(len(found.bad), 'file')} could not be read)" if found.bad else ""
        raise DataError(f"{name} holds one image{lost}, but at least 2 are needed; add more")
    images: Pixels
    if is_mapped(found.images):
        images = Rows(found.images.transpose(0, 3, 1, 2))
    else:
        images = torch.from_numpy(channels_first(found.images))
    several = len(found.classes) > 1  # one class alone says nothing, and guidance towards it would be wrong
    given = found.labels if several else None
    labels = None if given is None else torch.from_numpy(np.require(given, requirements=["W"]))
    alone = (
        ("one class alone is not used: labels need at least two",) if found.labels is not None and not several else ()
    )
    names = condition_names(options.conditions)
    numbers = as_tensor(found.conditions, names, name)
    conditions = () if numbers is None or split != "train" else conditions_of(numbers, names, name)
    spec = ImageSpec(channels, height, width, found.classes if labels is not None else (), conditions=conditions)
    notes = (*found.notes, *alone)
    return ArrayData(name, split, images, labels, spec, notes, range=found.range, conditions=numbers)


def open_source(options: DataOptions) -> Source:
    """The source that the options name, by way of its store; downloads a named data set that is not here yet."""
    found = plain_source(options)
    return found if options.store == "never" else Stored(found, place_of(options), options)


def place_of(options: DataOptions) -> str:
    """What tells the source from all others: its name, or its whole path."""
    name = options.source
    return name if name in DATASETS or name.startswith("hf:") else os.path.realpath(_path(name))


def plain_source(options: DataOptions) -> Source:
    """The source itself."""
    if options.resolution is not None:
        parse_resolution(options.resolution)  # a bad setting is said before anything is downloaded
    parse_range(options.range)
    check_channels(options.channels)
    condition_names(options.conditions)
    name = options.source
    if name in DATASETS:
        found = _named(name, DATASETS[name])
        return _NotTheFolder(found) if os.path.exists(name) else found  # noqa: PTH110
    if name.startswith("hf:"):
        from fromnoise.data.hub import Hub

        return Hub(name)
    path = _path(name)
    if is_gone(options):
        raise _nothing_there(name)
    try:
        return _from_folder(path, options) if path.is_dir() else _from_file(path, options)
    except PermissionError as error:
        raise DataError(f"{printable(name)} may not be read ({error.strerror}); allow it") from error


class _NotTheFolder:
    """A data set known by name while a file or folder here has the same name, which it says."""

    def __init__(self, found: Source) -> None:
        self.name = found.name
        self._found = found

    def splits(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self._found.splits()

    def state(self) -> str:
        """That of the data set."""
        return self._found.state()

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The images of the data set, with a note on the other."""
        note = f"{self.name} is the data set of that name; for what is called so here, write ./{self.name}"
        images = self._found.read(split, options, area)
        return replace(images, notes=(note, *images.notes))


def is_gone(options: DataOptions) -> bool:
    """Whether the source is a path (no known name, not on the hub) that does not exist."""
    name = options.source
    if name in DATASETS or name.startswith("hf:"):
        return False
    try:
        os.stat(_path(name))  # noqa: PTH116 - a name of any bytes
    except PermissionError:  # it may be there, which is said when it is read
        return False
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return True
    return False


def _path(name: str) -> Path:
    return Path(os.path.expanduser(name))  # noqa: PTH111 - keeps a name of any bytes as it is


def _named(name: str, dataset: Dataset) -> Source:
    if dataset.kind == "digits":
        return Digits()
    paths = obtain(name, dataset)
    if dataset.kind == "cifar":
        return Cifar(next(iter(paths.values())))
    contents = {file.unpacked: file.content_sha256 for file in dataset.files}
    return Idx(name, find_pairs(list(paths.values())), dataset.classes, contents)


def _nothing_there(name: str) -> DataError | UsageError:
    looks_like_path = any(mark in name for mark in "/\\~") or name.lower().endswith((".zip", ".npz", ".gz"))
    if looks_like_path or name.startswith("."):
        return DataError(
            f"{printable(name)} does not exist, but a file or folder of images was expected; check the path"
        )
    sentence = unknown("data set", printable(name), DATASETS)
    return UsageError(f"{sentence}; the path of a folder, .zip, .npz or IDX file, or hf:owner/name, would do too")


def _from_folder(path: Path, options: DataOptions) -> Source:
    from fromnoise.data.image_folder import ImageFolder

    if (path / STORE).is_file():
        return StoreSource(path)
    with os.scandir(path) as names:  # there may be a million, so none is kept of those that tell
        some_image = any(is_readable(Path(entry.name).suffix.lower()) and _is_file(entry.path) for entry in names)
    if not some_image:
        files = [file for file in path.iterdir() if _is_file(file)]
        pairs = find_pairs(files)
        if pairs:
            return Idx(printable(path.resolve().name), pairs)
        if any(file.name == "data_batch_1.bin" for file in files):
            return Cifar(path)
        if holds_tables(path):
            return Tables(path)
    return ImageFolder(path, options)


def _is_file(path: str | Path) -> bool:
    """Whether it is a file; False also for a link that leads round in a circle, where a DirEntry raises."""
    return os.path.isfile(path)  # noqa: PTH113


def _from_file(path: Path, options: DataOptions) -> Source:
    from fromnoise.data.image_folder import ImageFolder

    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{printable(str(path))} is neither a file nor a folder; give the path of one")
    if suffix == ".npz":
        return Npz(path)
    if suffix == ".npy":
        return Npy(path)
    if suffix in KINDS:
        return Tables(path)
    if suffix == ".zip" or zipfile.is_zipfile(path):
        return ImageFolder(path, options)
    if is_idx(path):
        return Idx(printable(path.name.split(".")[0]), pairs_around(path))
    if is_readable(suffix):
        raise DataError(f"{printable(str(path))} is one image, but at least 2 are needed; give a folder")
    if unread := unread_pictures({suffix: 1}):
        raise DataError(f"{printable(str(path))} is an image that cannot be read here ({unread})")
    raise DataError(
        f"{printable(str(path))} cannot be read as images; expected a folder of images, a .zip of one, an .npz, "
        ".npy, Parquet or IDX file"
    )
