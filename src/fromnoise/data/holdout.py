"""Images kept out of training where a source has no test split, so that there is something to measure with.

    how many = min(round(share n), 5000), at least 1, of n >= 20 images

Which ones follows from n by a fixed seed; every class keeps an image to train on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.common.text import count
from fromnoise.data.image_data import ArrayData
from fromnoise.data.notes import Note

_MOVED = 4096  # images moved at once
FEWEST, MOST = 20, 5000  # images in all, below which none is held out; images that are held out at most


def places(data: ArrayData, share: float) -> Tensor:
    """Which images of `data` are held out, int64 (n,) in rising order; empty where none is."""
    number = len(data)
    if share == 0 or number < FEWEST:
        return torch.empty(0, dtype=torch.int64)
    order = torch.randperm(number, generator=generator(0, "held out", number))
    if data.labels is not None:
        last = torch.zeros(len(data.spec.classes), dtype=torch.int64)
        # The place in `order` of each class's last image, which stays; the others come before it and may go.
        last.scatter_reduce_(0, data.labels[order], torch.arange(number), "amax", include_self=False)
        stays = torch.zeros(number, dtype=torch.bool)
        stays[last[data.label_counts > 0]] = True
        order = order[~stays]
    return order[: min(max(1, round(share * number)), MOST)].sort().values


def divided(data: ArrayData, share: float) -> ArrayData:
    """The training images of `data`, with the others as `held_out`; `data` itself where none is held out.

    In memory both lie in that of `data`, whose own order is lost: a second copy of the training images may not fit.
    In a file they stay where they are.
    """
    chosen = places(data, share)
    if not len(chosen):
        return data
    mask = torch.zeros(len(data), dtype=torch.bool)
    mask[chosen] = True
    notes = (*data.notes, note(len(chosen), len(data)))
    kept, apart = _parted(data.images, mask) if isinstance(data.images, Tensor) else data.images.parted(mask)
    labels, conditions = data.beside(mask)
    held_out = replace(data, split="test", images=apart, labels=labels, conditions=conditions, notes=notes)
    labels, conditions = data.beside(~mask)
    return replace(data, images=kept, labels=labels, conditions=conditions, notes=notes, held_out=held_out)


def note(held_out: int, number: int) -> Note:
    """`no test split: 250 of 2,500 images are held out by a fixed seed, to measure with`."""
    verb = "is" if held_out == 1 else "are"
    text = f"no test split: {held_out:,} of {count(number, 'image')} {verb} held out by a fixed seed, to measure with"
    return Note(text, "held out", count=held_out, of=number)


def _parted(images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The images where `mask` is false, then those where it is true, each in order, in the memory of `images`."""
    apart, kept = images[mask], torch.nonzero(~mask).flatten()
    for start in range(0, len(kept), _MOVED):  # an image never moves up, so none is overwritten before it is read
        places = kept[start : start + _MOVED]
        images[start : start + len(places)] = images[places]
    images[len(kept) :] = apart
    return images[: len(kept)], images[len(kept) :]
