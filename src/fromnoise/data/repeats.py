"""Images that are in a set more than once, exactly as they are or mirrored."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from fromnoise.common.text import count


def distinct(images: Tensor, *, mirrored: bool = False) -> Tensor:
    """The indices of the images, uint8 (N, C, H, W), that repeat no earlier one; int64, rising.

    mirrored: an image that mirrors an earlier one repeats it.
    """
    seen: set[bytes] = set()
    kept = []
    for number, image in enumerate(images.cpu()):
        name = _digest(image)
        if mirrored:
            name = min(name, _digest(image.flip(2)))
        if name not in seen:
            seen.add(name)
            kept.append(number)
    return torch.tensor(kept, dtype=torch.int64)


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()


def repeats_note(images: Tensor) -> str | None:
    """A sentence on the images that repeat another; None where none does."""
    left, least = len(distinct(images)), len(distinct(images, mirrored=True))
    if least == len(images):
        return None
    parts = [
        f"{count(number, 'image')} {'repeats' if number == 1 else 'repeat'} {how}"
        for number, how in ((len(images) - left, "another"), (left - least, "another, mirrored"))
        if number
    ]
    return f"{' and '.join(parts)}; {least:,} of {len(images):,} are different images"
