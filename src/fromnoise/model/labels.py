"""Which class each sample is of: drawn with the training set's frequencies from its seed alone, or one for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError, unknown
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator


def draw_labels(seeds: Sequence[int], counts: Sequence[int]) -> Tensor:
    """A label for each seed, drawn with the training set's frequencies from that seed alone; int64 (N,)."""
    share = torch.tensor(counts, dtype=torch.float64)
    return torch.cat([torch.multinomial(share, 1, generator=generator(0, "label", seed)) for seed in seeds])


def label_number(label: str | int, spec: ImageSpec) -> int:
    """The number of the class that `label` names, by name or by number; UsageError where there is no such class."""
    if not spec.classes:
        raise UsageError(f"label is '{label}', but this model was trained without classes; leave --label out")
    if str(label) in spec.classes:
        return spec.classes.index(str(label))
    if str(label).isdigit() and int(label) < len(spec.classes):
        return int(label)
    raise UsageError(unknown("class", str(label), spec.classes))
