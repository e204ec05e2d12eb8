"""Images, in memory or in a file: what every source of data becomes, and all that training knows of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import joined
from fromnoise.data.class_agreement import agreement_of_classes
from fromnoise.data.mirror_gap import Averaged, averaged_down, gap_of_mirrored
from fromnoise.data.remembered import remembered
from fromnoise.data.rows import Pixels, Rows, take


class ImageData(Protocol):
    """What training, figures and metrics ask of a set of images."""

    @property
    def spec(self) -> ImageSpec:
        """Shape, classes and range."""

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """uint8 images (B, C, H, W), and what a network is conditioned on, as in `fromnoise.common.labels`.

        That is None where the data has neither labels nor conditions.
        """


@dataclass(frozen=True)
class ArrayData:
    """Images as uint8, resident in memory or, as `Rows`, in a mapped file.

    images: uint8 (N, C, H, W). labels: int64 (N,) or None. notes: sentences about what was found and converted,
    for the terminal and the report. held_out: what was kept out of these by `data.holdout`, None where nothing was.
    range: the stored values that were read as black and white, such as "0-4095", or "full".
    conditions: float32 (N, K), the numbers that `data.conditions` names, NaN where one is missing; None without any.
    """

    name: str
    split: str
    images: Pixels
    labels: Tensor | None
    spec: ImageSpec
    notes: tuple[str, ...] = field(default=())
    held_out: ArrayData | None = field(default=None, repr=False)
    range: str = "full"
    conditions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images at `indices` (B,), and what a network is conditioned on, as in `fromnoise.common.labels`."""
        indices = indices.to(self.images.device)
        images = self.images[indices] if isinstance(self.images, Rows) else take(self.images, indices)
        return images, joined(*self.beside(indices))

    def subset(self, indices: Tensor) -> ArrayData:
        """The images at `indices` (B,) alone."""
        labels, conditions = self.beside(indices)
        images = self.images.select(indices) if isinstance(self.images, Rows) else take(self.images, indices)
        return ArrayData(self.name, self.split, images, labels, self.spec, conditions=conditions)

    def to(self, device: str) -> ArrayData:
        """The same images resident on `device`, where a batch is one look-up."""
        labels, conditions = (None if one is None else one.to(device) for one in (self.labels, self.conditions))
        return replace(self, images=self.images.to(device), labels=labels, conditions=conditions)

    def beside(self, rows: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Labels and conditions of the images that `rows` selects."""
        labels = None if self.labels is None else self.labels[rows]
        return labels, None if self.conditions is None else self.conditions[rows]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels, labels and conditions: equal only for the same images in the same order."""
        labels = b"" if self.labels is None else self.labels.contiguous().numpy().tobytes()
        if self.conditions is not None:
            names = ",".join(one.name for one in self.spec.conditions)
            labels += names.encode() + self.conditions.contiguous().numpy().tobytes()

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
    def flat_share(self) -> float:
        """Which share of the values of up to 4,096 images are exactly black or white, 0 to 1."""
        chosen = torch.arange(0, len(self.images), max(1, len(self.images) // 4096))
        parts = (self.images[part] for part in chosen.split(256))
        flat = sum(int(((part == 0) | (part == 255)).sum()) for part in parts)
        return flat / (len(chosen) * math.prod(self.spec.shape))

    @cached_property
    def _averaged(self) -> Averaged:
        return averaged_down(self.images)

    @cached_property
    def mirror_gap(self) -> float | None:
        """How much farther from the others mirrored images are than the images themselves; see `mirror_gap`."""
        return gap_of_mirrored(self._averaged, self.labels)

    @cached_property
    def class_agreement(self) -> float | None:
        """How often an image's nearest other one is of its class: 0 as by chance, 1 always; None without classes."""
        return agreement_of_classes(self._averaged, self.labels)

    @cached_property
    def label_counts(self) -> Tensor:
        """How many images each class has, int64 (classes,); empty without labels."""
        if self.labels is None:
            return torch.zeros(0, dtype=torch.int64)
        return torch.bincount(self.labels, minlength=len(self.spec.classes))
