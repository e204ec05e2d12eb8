"""Images that are in a set more than once, exactly as they are or mirrored."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.text import count
from fromnoise.data.notes import Note
from fromnoise.data.remembered import remembered
from fromnoise.data.rows import Pixels


def distinct(images: Pixels, *, mirrored: bool = False) -> Tensor:
    """The indices of the images, uint8 (N, C, H, W), that repeat no earlier one; int64, rising.

    mirrored: an image that mirrors an earlier one repeats it.
    """
    names = np.empty((len(images), 2), dtype=np.uint64)
    for number, image in enumerate(images.cpu()):
        name = _digest(image)
        if mirrored:
            name = min(name, _digest(image.flip(2)))
        names[number] = np.frombuffer(name, dtype=np.uint64)
    order = np.lexsort(names.T)  # equal ones stay in order, so the first of them comes first
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (names[order[1:]] != names[order[:-1]]).any(1)
    return torch.from_numpy(np.sort(order[first]).astype(np.int64))


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()


def count_distinct(images: Pixels, *, mirrored: bool = False) -> int:
    """How many indices `distinct` gives."""

    def counted() -> int:
        return len(distinct(images, mirrored=mirrored))

    if isinstance(images, Tensor):
        return counted()
    return remembered(images.identity, f"distinct {mirrored}", counted)


def repeats_note(images: Pixels) -> Note | None:
    """A sentence on the images that repeat another; None where none does."""
    left, least = count_distinct(images), count_distinct(images, mirrored=True)
    if least == len(images):
        return None
    exact, mirrored = len(images) - left, left - least
    parts = [
        f"{count(number, 'image')} {'repeats' if number == 1 else 'repeat'} {how}"
        for number, how in ((exact, "another"), (mirrored, "another, mirrored"))
        if number
    ]
    text = f"{' and '.join(parts)}; {least:,} of {len(images):,} are different images"
    return Note(text, "repeats", exact=exact, mirrored=mirrored, different=least, of=len(images))
