"""Samples of a file and the images that they are measured against, read so that the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fromnoise.common.errors import DataError
from fromnoise.common.options import changed
from fromnoise.common.text import hw
from fromnoise.data import DataOptions, load, unseen
from fromnoise.data.channels import NAMES, shows_grey, with_channels
from fromnoise.data.image_data import ArrayData
from fromnoise.data.notes import Note


@dataclass(frozen=True)
class Matched:
    """Samples and the two splits of the real images, of one size and kind; notes: what was done for that."""

    samples: ArrayData
    train: ArrayData
    test: ArrayData | None
    notes: tuple[str, ...]


def read_matched(samples: str, reference: str, settings: Mapping[str, Any]) -> Matched:
    """Samples and reference at one size and with the same channels.

    Arguments:
        samples: an .npz, folder or .zip.
        reference: the real images.
        settings: data options by name, of the reference; resolution and on_bad_image are those of the samples too.

    Raises:
        DataError: where one of them cannot be read, and for two kinds that cannot be compared.
    """
    options = changed(DataOptions(reference), settings, "data")
    shared = {name: settings[name] for name in ("resolution", "on_bad_image", "center_crop") if name in settings}
    given = changed(DataOptions(samples, holdout=0.0), shared, "data")
    train, images = load(options), load(given)
    notes = _shrunk("the samples", images) + _shrunk(train.name, train)
    if (size := _common_size(images, train)) is not None:
        notes += (f"the samples are {_size(images)} and {train.name} is {_size(train)}: both are measured at {size}",)
        options = replace(options, resolution=size)
        train, images = load(options), load(replace(given, resolution=size))
    if images.range not in ("full", train.range):
        said = next(note for note in images.notes if note.startswith("range:"))
        raise DataError(
            f"the samples do not fill the range of {train.name} ({said.partition(';')[0]}); save them with 8 bits, "
            "black as 0 and white as 255"
        )
    images, said_of_channels = _same_channels(images, train)
    return Matched(images, train, unseen(options, train), notes + said_of_channels)


def _shrunk(name: str, data: ArrayData) -> tuple[str, ...]:
    """That `data` has another size than its files, where nobody asked for one."""
    found = (
        note for note in data.notes if isinstance(note, Note) and note.kind == "resized" and not note.values["chosen"]
    )
    return tuple(f"{name}: {note}" for note in found)


def _common_size(samples: ArrayData, train: ArrayData) -> str | None:
    """The smaller of two sizes of one shape, None where they are the same; DataError for two shapes."""
    one, two = samples.spec, train.spec
    if (one.height, one.width) == (two.height, two.width):
        return None
    if one.height * two.width != two.height * one.width:
        raise DataError(
            f"the samples are {_size(samples)}, but {train.name} is {_size(train)}, another shape; read both at one "
            f"size with --resolution, such as --resolution {_size(samples)}"
        )
    return hw(min(one.height, two.height), min(one.width, two.width))


def _size(data: ArrayData) -> str:
    return hw(data.spec.height, data.spec.width)


def _same_channels(samples: ArrayData, train: ArrayData) -> tuple[ArrayData, tuple[str, ...]]:
    """The samples with the channels of `train`, and what to say of it; DataError for colour beside grey."""
    have, wanted = samples.spec.channels, train.spec.channels
    if have == wanted:
        return samples, ()
    pixels = samples.images[:].permute(0, 2, 3, 1).numpy()
    if wanted == 1 and not all(shows_grey(image) for image in pixels):
        raise DataError(
            f"the samples are in colour, but {train.name} is grey; measure them against images in colour, or take "
            "these as such with --set data.channels=3"
        )
    converted = np.stack([with_channels(image, wanted) for image in pixels])
    images = torch.from_numpy(np.ascontiguousarray(converted.transpose(0, 3, 1, 2)))
    kind = "grey, stored as " if wanted == 1 else ""
    note = f"the samples are {kind}{NAMES[have]}: they are measured as {NAMES[wanted]}, as {train.name} is"
    return replace(samples, images=images, spec=replace(samples.spec, channels=wanted)), (note,)
