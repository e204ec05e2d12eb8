"""What a set of images is like, in numbers: before training, it is worth a look.

Import it from here (`from fromnoise.data.inspection import inspect`); the package does not pass it on, because the
function and this file share their name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data.decode_many import left_out
from fromnoise.data.holdout import note, places
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import as_data, describe, open_source
from fromnoise.data.notes import said
from fromnoise.data.repeats import repeats_note
from fromnoise.data.rows import Pixels
from fromnoise.data.source import Source
from fromnoise.settings import DataOptions

_SHOWN = 64
_CHUNK = 2**22  # values that are counted at once


@dataclass(frozen=True)
class Channel:
    """Pixel values of one channel, 0..255, over all training images; std is the population's."""

    min: int
    max: int
    mean: float
    std: float


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found. All but `counts` is about the training images, those held out of them included.

    counts: images per split. modes: files per stored mode (Pillow's names). sizes: files per HEIGHTxWIDTH as stored.
    classes: images per class. conditions: by name, least, most, mean and std of the known numbers, and how many are
    missing. bad: files that cannot be read, with the reason, over all splits. range: the stored values read as black
    and white, or "full". sample: uint8 (n, C, H, W), at most 64 images drawn by a fixed seed, and their labels.
    """

    name: str
    summary: str
    counts: dict[str, int]
    shape: tuple[int, int, int]
    modes: dict[str, int]
    sizes: dict[str, int]
    classes: dict[str, int]
    conditions: dict[str, dict[str, float]]
    channels: tuple[Channel, ...]
    bad: tuple[str, ...]
    fingerprint: str
    range: str
    notes: tuple[str, ...]
    sample: Tensor = field(repr=False, compare=False)
    sample_labels: Tensor | None = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Everything but the sample, as a plain dict; `remarks` are the notes as values, see `fromnoise.data.notes`."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("sample")}
        plain["channels"] = [vars(channel) for channel in self.channels]
        listed = {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}
        return {**listed, "remarks": [said(note) for note in self.notes]}


def inspect(options: DataOptions) -> Inspection:
    """What `options` name, in numbers; every split is read once, and files that cannot be read are listed, not refused.

    Raises:
        UsageError: for an unknown name or resolution.
        DataError: for data that is missing or without images to train on.
    """
    options = replace(options, on_bad_image="skip")
    source = open_source(options)
    found = source.read("train", options)
    data = as_data(found, source.name, "train", options)
    counts, bad = {"train": len(data)}, found.bad
    for split in source.splits():
        if split != "train":
            counts[split], more = _counted(source, split, options)
            bad += more
    apart = 0 if "test" in counts else len(places(data, options.holdout))
    unread = set(left_out(found.bad))  # `bad` lists them
    notes = (
        *(one for one in data.notes if one not in unread),
        *((note(apart, len(data)),) if apart else ()),
        *filter(None, [repeats_note(data.images)]),
    )
    sample, sample_labels = sample_grid(data)
    return Inspection(
        name=data.name,
        summary=describe(data),
        counts=counts,
        shape=data.spec.shape,
        modes=_by_number(found.modes),
        sizes=_by_number(found.sizes),
        classes=dict(zip(data.spec.classes, data.label_counts.tolist())),
        conditions=_conditions(data),
        channels=channel_values(data.images),
        bad=bad,
        fingerprint=data.fingerprint,
        range=data.range,
        notes=notes,
        sample=sample,
        sample_labels=sample_labels,
    )


def sample_grid(data: ArrayData) -> tuple[Tensor, Tensor | None]:
    """Some images, or all if they are few, and their labels: the first of a fixed shuffle."""
    order = torch.randperm(len(data), generator=generator(0, "inspect"))
    some = data.subset(order[:_SHOWN])
    return some.images[:], some.labels


def channel_values(images: Pixels) -> tuple[Channel, ...]:
    """Range, mean and standard deviation of each channel of uint8 (N, C, H, W), exact: from histograms."""
    histograms = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    number = max(1, _CHUNK // max(1, images.shape[1:].numel()))
    for start in range(0, len(images), number):
        chunk = images[start : start + number]
        for place in range(images.shape[1]):
            histograms[place] += torch.bincount(chunk[:, place].flatten(), minlength=256)
    return tuple(_channel(histogram) for histogram in histograms)


def _channel(histogram: Tensor) -> Channel:
    levels = torch.arange(256, dtype=torch.float64)
    weights = histogram.double() / histogram.sum()
    mean = (weights * levels).sum()
    std = (weights * (levels - mean) ** 2).sum().sqrt()
    present = histogram.nonzero().flatten()
    return Channel(int(present[0]), int(present[-1]), float(mean), float(std))


def _conditions(data: ArrayData) -> dict[str, dict[str, float]]:
    if data.conditions is None:
        return {}
    missing = data.conditions.isnan().sum(0).tolist()
    rows = [asdict(one) | {"missing": number} for one, number in zip(data.spec.conditions, missing, strict=True)]
    return {row.pop("name"): row for row in rows}


def _counted(source: Source, split: str, options: DataOptions) -> tuple[int, tuple[str, ...]]:
    found = source.read(split, options)
    return len(found.images), found.bad


def _by_number(tally: Any) -> dict[str, int]:
    """Most frequent first."""
    return dict(sorted(tally.items(), key=lambda item: (-item[1], item[0])))
