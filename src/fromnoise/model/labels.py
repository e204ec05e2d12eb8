"""Which class each sample is of: drawn with the training set's frequencies from its seed alone, or one for all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError, unknown
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.common.text import printable


def draw_labels(seeds: Sequence[int], counts: Sequence[int]) -> Tensor:
    """A label for each seed, drawn with the training set's frequencies from that seed alone; int64 (N,)."""
    share = torch.tensor(counts, dtype=torch.float64)
    return torch.cat([torch.multinomial(share, 1, generator=generator(0, "label", seed)) for seed in seeds])


def label_number(label: str | int, spec: ImageSpec) -> int:
    """The number of the class called `label`; UsageError where there is no such class.

    A class is known by its name alone: 0 is the class "0" and never the first one.
    """
    if not spec.classes:
        raise UsageError(f"label is '{label}', but this model was trained without classes; leave --label out")
    name = printable(unicodedata.normalize("NFC", str(label)))
    if name not in spec.classes:
        raise UsageError(unknown("class", name, spec.classes))
    return spec.classes.index(name)
