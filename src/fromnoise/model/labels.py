"""What each sample is conditioned on: drawn as the training images have it from its seed alone, or the same for all."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
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


def spread_labels(number: int, counts: Sequence[int]) -> Tensor:
    """`number` labels as often as `counts` has them, each as evenly spread as it can be; int64 (number,).

    The j-th of a class, from 0, comes by its quotient count / (2 j + 1), the largest first (Sainte-Lague).
    """
    quotients = torch.tensor(counts, dtype=torch.float64) / (2 * torch.arange(number)[:, None] + 1)
    return quotients.flatten().argsort(descending=True, stable=True)[:number] % len(counts)


def draw_numbers(seeds: Sequence[int], classes: Tensor | None, rows: Tensor) -> Tensor:
    """The numbers of a training image for each seed, drawn from that seed alone; float32 (N, K).

    Arguments:
        classes: int64 (N,); images of the same class are drawn from, where there are some. None without classes.
        rows: labels of training images, (M, 1 + K).
    """
    among = {c: rows[rows[:, 0] == c] for c in (() if classes is None else set(classes.tolist()))}
    found = []
    for place, seed in enumerate(seeds):
        own = rows if classes is None else among[int(classes[place])]
        own = own if len(own) else rows
        found.append(own[int(torch.randint(len(own), (1,), generator=generator(0, "numbers", seed))), 1:])
    return torch.stack(found)


def with_asked(numbers: Tensor, asked: Mapping[str, float], spec: ImageSpec) -> Tensor:
    """`numbers` (N, K) with those of `asked` in the place of drawn ones; UsageError for a name that is not known."""
    names = [one.name for one in spec.conditions]
    for name, value in asked.items():
        if name not in names:
            raise UsageError(unknown("condition", printable(name), names))
        if not math.isfinite(value):
            raise UsageError(f"condition {name} is {value}, but expected a finite number; give one")
        numbers[:, names.index(name)] = value
    return numbers


def beyond_training(asked: Mapping[str, float], spec: ImageSpec) -> list[str]:
    """A sentence for each number of `asked` that no training image comes near to."""
    return [
        f"{one.name} is {asked[one.name]:g}, but the training images have {one.least:.4g} to {one.most:.4g}: what lies "
        "beyond was not trained"
        for one in spec.conditions
        if one.name in asked and not one.least <= np.float32(asked[one.name]) <= one.most  # as training has it
    ]


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
