"""Images that lie in a file: an index reads those that it selects, and the others take no memory.

The file is mapped into memory, so what was read stays in the system's cache while there is room, and is dropped from
there when other things need it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fromnoise.data.mapped import identity, read_ahead

_CHUNK = 16 * 2**20  # bytes that are moved at once
_FEW = 4096  # images that are fetched one by one; more of them are a scan


class Rows:
    """uint8 images (N, C, H, W) of a mapped file, in its order or by `places`; used like a tensor of that shape.

    Arguments:
        images: (M, C, H, W), a view of a `numpy.memmap`.
        places: the images of it that these are, int64 (N,); all if not given.
    """

    dtype, ndim, device = torch.uint8, 4, torch.device("cpu")

    def __init__(self, images: NDArray[np.uint8], places: Tensor | None = None) -> None:
        self._images, self._places = images, places
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot be written: nobody should
            self._tensor = torch.from_numpy(images)
        self._advise = read_ahead(images)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return torch.Size((len(self), *self._tensor.shape[1:]))

    def __len__(self) -> int:
        return len(self._tensor) if self._places is None else len(self._places)

    def numel(self) -> int:
        """Pixels of all images and channels together: also their bytes."""
        return self.shape.numel()

    @cached_property
    def identity(self) -> str:
        """A digest of which images these are: the file, how it was when it was last written, and the places in it."""
        places = b"" if self._places is None else self._places.numpy().tobytes()
        return hashlib.sha256(identity(self._images).encode() + places).hexdigest()

    def select(self, places: Tensor) -> Rows:
        """The images at `places`, int64 (n,): none is read."""
        return Rows(self._images, places if self._places is None else self._places[places])

    def parted(self, mask: Tensor) -> tuple[Rows, Rows]:
        """The images where `mask` is false, then those where it is true, each in order."""
        return self.select(torch.nonzero(~mask).flatten()), self.select(torch.nonzero(mask).flatten())

    def __getitem__(self, key: int | slice | Tensor | tuple[Any, ...]) -> Tensor:
        """What a tensor would give, contiguous: an image, a slice of them, those at int64 indices or of a mask."""
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if isinstance(rows, Tensor):
            rows = rows.cpu()
            rows = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        chosen = rows if self._places is None else self._places[rows]
        self._advise_of(chosen)
        found = take(self._tensor, chosen) if isinstance(chosen, Tensor) else self._tensor[chosen]
        return (found[(slice(None), *rest)] if rest else found).contiguous()

    def read_ahead(self, places: Tensor) -> None:
        """Have the system read the images at `places`, int64 (n,), from the disk, without waiting for them."""
        self._advise_of(places if self._places is None else self._places[places])

    def _advise_of(self, chosen: int | slice | Tensor) -> None:
        if isinstance(chosen, Tensor) and chosen.ndim == 1 and len(chosen) <= _FEW:
            for place in chosen.tolist():
                self._advise(place, place + 1)
        elif isinstance(chosen, slice):
            begin, end, step = chosen.indices(len(self._tensor))
            if step == 1 and begin < end <= begin + _FEW:
                self._advise(begin, end)

    def __iter__(self) -> Iterator[Tensor]:
        """Image by image, each (C, H, W)."""
        for part in self.parts():
            yield from part

    def parts(self) -> Iterator[Tensor]:
        """All images in order, some of them at a time."""
        number = min(_FEW, max(1, _CHUNK // max(1, self.shape[1:].numel())))
        for start in range(0, len(self), number):
            yield self[start : start + number]

    def cpu(self) -> Rows:
        """These: they are on no other device."""
        return self

    def to(self, device: str | torch.device) -> Rows | Tensor:
        """The images in the memory of another device; these, where that is the CPU."""
        if torch.device(device).type == "cpu":
            return self
        found = torch.empty(self.shape, dtype=torch.uint8, device=device)
        start = 0
        for part in self.parts():
            found[start : start + len(part)] = part
            start += len(part)
        return found


def take(images: Tensor, indices: Tensor) -> Tensor:
    """`images[indices]`, which a CPU would copy pixel by pixel: here image by image, with the strides that it has."""
    if images.device.type != "cpu" or indices.ndim != 1 or bool((indices < 0).any()):
        return images[indices]
    if images.stride(1) == 1:  # channels last
        return images.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)
    return images.index_select(0, indices)


Pixels = Tensor | Rows
"""uint8 images (N, C, H, W), in memory or in a file."""
