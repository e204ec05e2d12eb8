"""Images, in memory or in a file: what every source of data becomes, and all that training knows of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.remembered import remembered
from fromnoise.data.rows import Pixels, Rows, take


class ImageData(Protocol):
    """What training, figures and metrics ask of a set of images."""

    @property
    def spec(self) -> ImageSpec:
        """Shape, classes and range."""

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 images (B, C, H, W) and int64 labels (B,), or None where the data has no labels."""


@dataclass(frozen=True)
class ArrayData:
    """Images as uint8, resident in memory or, as `Rows`, in a mapped file.

    images: uint8 (N, C, H, W). labels: int64 (N,) or None. notes: sentences about what was found and converted,
    for the terminal and the report. held_out: what was kept out of these by `data.holdout`, None where nothing was.
    range: the stored values that were read as black and white, such as "0-4095", or "full".
    """

    name: str
    split: str
    images: Pixels
    labels: Tensor | None
    spec: ImageSpec
    notes: tuple[str, ...] = field(default=())
    held_out: ArrayData | None = field(default=None, repr=False)
    range: str = "full"

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images and labels at `indices` (B,)."""
        indices = indices.to(self.images.device)
        images = self.images[indices] if isinstance(self.images, Rows) else take(self.images, indices)
        return images, None if self.labels is None else self.labels[indices]

    def subset(self, indices: Tensor) -> ArrayData:
        """The images at `indices` (B,) alone."""
        if isinstance(self.images, Rows):
            labels = None if self.labels is None else self.labels[indices]
            return ArrayData(self.name, self.split, self.images.select(indices), labels, self.spec)
        images, labels = self.fetch(indices)
        return ArrayData(self.name, self.split, images, labels, self.spec)

    def to(self, device: str) -> ArrayData:
        """The same images resident on `device`, where a batch is one look-up."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, images=self.images.to(device), labels=labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: equal only for the same images in the same order."""
        labels = b"" if self.labels is None else self.labels.contiguous().numpy().tobytes()

        def digested() -> str:
            digest = hashlib.sha256(repr((tuple(self.images.shape), self.spec.classes)).encode())
            for part in self.images.parts() if isinstance(self.images, Rows) else (self.images,):
                digest.update(part.contiguous().numpy().data)
            digest.update(labels)
            return digest.hexdigest()

        if isinstance(self.images, Tensor):
            return digested()
        about = f"fingerprint {self.spec.classes} {hashlib.sha256(labels).hexdigest()}"
        return remembered(self.images.identity, about, digested)

    @cached_property
    def label_counts(self) -> Tensor:
        """How many images each class has, int64 (classes,); empty without labels."""
        if self.labels is None:
            return torch.zeros(0, dtype=torch.int64)
        return torch.bincount(self.labels, minlength=len(self.spec.classes))
