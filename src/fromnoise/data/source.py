"""What a source of images gives, before it becomes an `ArrayData`: pixels, labels, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.text import hw, printable
from fromnoise.data.area import Area, Memory
from fromnoise.data.conversion import converted
from fromnoise.settings import DataOptions

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class SourceImages:
    """The images of one split.

    images: uint8 (N, H, W, C), already of one shape; in memory, or mapped from a file that is only to be read. labels:
    int64 (N,) or None. modes and sizes count the files as they were, by Pillow's mode names and HEIGHTxWIDTH. bad:
    files left out, each with its reason. range: the stored values that were read as black and white, such as "0-4095",
    or "full". conditions: numbers that were asked for, float32 (N,) by name, NaN where one is missing.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    modes: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[str, ...] = ()
    range: str = "full"
    conditions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Source(Protocol):
    """A place that images come from."""

    @property
    def name(self) -> str:
        """A short name for sentences and run folders."""

    def splits(self) -> tuple[str, ...]:
        """Which of "train" and "test" exist."""

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """All images of a split; DataError when it does not exist or cannot be read.

        area: where pixels go that are not in a file as they should be; memory if not given.
        """

    def state(self) -> str:
        """What is another text once what it reads has changed; from names, sizes and times alone."""


def no_split(name: str, split: str, known: tuple[str, ...], remedy: str) -> DataError:
    """The error for a split that a source lacks."""
    return DataError(f"{name} has no {split} split (it has: {', '.join(known)}); {remedy}")


def from_arrays(
    images: NDArray[Any],
    labels: NDArray[np.int64] | None,
    classes: tuple[str, ...],
    options: DataOptions,
    notes: tuple[str, ...] = (),
    area: Area | None = None,
) -> SourceImages:
    """A SourceImages for images (N, H, W, C) that share one shape already, resized to the wanted resolution.

    They are uint8 or uint16, or of any type where `data.range` gives the values of black and white. Where nothing is to
    be converted they are those of `images` itself, else they go to `area`, memory if not given. By `data.classes` none
    the labels are left out.
    """
    if options.classes == "none":
        labels, classes = None, ()
    number, height, width, channels = images.shape
    found, read_as, said = converted(images, options, area or Memory())
    modes, sizes = {MODES[channels]: number}, {hw(height, width): number}
    return SourceImages(found, labels, classes, notes + said, modes, sizes, range=read_as)


def named_values(values: NDArray[Any]) -> tuple[str, ...]:
    """Class names for bare label numbers or words: those that occur, in order."""
    return tuple(printable(str(value)) for value in np.unique(values))


def positions(values: NDArray[Any], classes: tuple[str, ...], name: str) -> NDArray[np.int64]:
    """Each label's position among `classes`; DataError for one that is not there."""
    table = {text: place for place, text in enumerate(classes)}
    present = [printable(str(value)) for value in np.unique(values)]
    strangers = [text for text in present if text not in table]
    if strangers:
        raise DataError(
            f"{name} has labels that its train split lacks: {', '.join(strangers[:10])}; expected only "
            f"{', '.join(classes[:10])}{' ...' if len(classes) > 10 else ''}; fix the labels"
        )
    places = np.array([table[text] for text in present], dtype=np.int64)
    return places[np.searchsorted(np.unique(values), values)]
