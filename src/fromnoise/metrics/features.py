"""Feature spaces in which images are compared: those of a classifier of this dataset, and pixels.

    domain   dataset-classifier features: the 128 of a classifier that the package trains on the training split (fixed
             recipe and seed); without labels it learns to predict how an image was rotated (Gidaris et al. 2018,
             https://arxiv.org/abs/1803.07728)
    pixels   the first 64 principal components of the training images: they know nothing of content, but show what a
             classifier may overlook (background, contrast, noise)

A distance holds in one space only: the name, recipe and weights of the space belong to every number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.metrics.classifier import FEATURES, LARGEST_SIDE, Classifier, averaged
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.metrics.classifier_training import recipe_hash

COMPONENTS = 64
_SIDE = 32  # pixels a side; larger images are averaged down before their components are computed
_PCA_IMAGES = 20_000  # more change the components by less than their rounding to grey levels
_ROTATED = 25_000  # images that are rotated; four versions of each are held in memory
_PART = 1024
_VALUES = 16 << 20  # pixels that are averaged down at once


@dataclass(frozen=True)
class Features:
    """A feature space.

    about: what spans it, in words. dim: its dimensions. recipe_hash, weight_hash: of how it was made and of the
    result; equal spaces have equal ones. of: uint8 (N, C, H, W) to float32 (N, dim) on the CPU. classifier: the
    classifier behind it where that knows the classes of the data.
    """

    name: str
    about: str
    dim: int
    recipe_hash: str
    weight_hash: str
    of: Callable[[Pixels], Tensor]
    classifier: Classifier | None = None

    @property
    def space(self) -> str:
        """Name and weights in one word, by which statistics of other features are noticed."""
        return f"{self.name} {self.weight_hash}"


def domain(data: ArrayData, cache_dir: Path, seed: int = 0) -> Features:
    """The 128 features of the classifier for `data`, trained once and kept in `cache_dir`."""
    own = classifiable(data)
    task = data if own else rotated(data)
    net = cached_classifier(task, cache_dir, seed=seed)
    about = f"a classifier of {len(task.spec.classes)} {'classes' if own else 'orientations'}"
    # Images that are averaged down before they are rotated have a recipe of their own.
    special = {"averaged": LARGEST_SIDE} if not own and _large(data) else {}
    known = net if own else None
    return Features("domain", about, FEATURES, recipe_hash(**special), net.weight_hash[:16], net.features, known)


def classifiable(data: ArrayData) -> bool:
    """Whether there are images of two classes or more, which a classifier can learn."""
    return data.labels is not None and int((data.label_counts > 0).sum()) >= 2


def _large(data: ArrayData) -> bool:
    return max(data.spec.height, data.spec.width) > LARGEST_SIDE


def rotated(data: ArrayData) -> ArrayData:
    """Up to 25,000 images four times, labelled by rotation: quarter turns, or mirrored where they are not square.

    Sides above 64 are averaged down first, as the classifier would: the four versions of large images fill no memory.
    """
    chosen = torch.randperm(len(data), generator=generator(0, "turned"))[:_ROTATED].sort().values
    if _large(data):
        at_once = max(1, _VALUES // data.images.shape[1:].numel())
        parts = (data.fetch(part)[0].cpu().float() for part in chosen.split(at_once))
        images = torch.cat([averaged(part, LARGEST_SIDE).round().byte() for part in parts])
    else:
        images = data.fetch(chosen)[0].cpu()
    spec, square = data.spec, data.spec.height == data.spec.width
    if square:
        names = ("upright", "a quarter", "upside down", "three quarters")
        ways = [torch.rot90(images, quarter, (2, 3)) for quarter in range(4)]
    else:
        names = ("upright", "mirrored", "upside down", "both")
        ways = [images, images.flip(3), images.flip(2), images.flip(2, 3)]
    labels = torch.arange(4).repeat_interleave(len(images))
    height, width = images.shape[2:]
    about = ImageSpec(spec.channels, height, width, names, spec.low, spec.high)
    return replace(data, images=torch.cat(ways), labels=labels, spec=about, notes=(), conditions=None)


def pixels(data: ArrayData) -> Features:
    """The first 64 principal components of the training images, values 0..1, sides averaged down to at most 32."""
    chosen = torch.randperm(len(data), generator=generator(0, "components"))[:_PCA_IMAGES].sort().values
    some = _small(data.subset(chosen).images).double()
    mean = some.mean(0)
    some -= mean
    _, vectors = torch.linalg.eigh(some.T @ some / len(some))
    axes = vectors[:, -COMPONENTS:].flip(1).float()
    mean32 = mean.float()

    def project(images: Pixels) -> Tensor:
        starts = range(0, len(images), _PART)
        return torch.cat([(_small(images, s, s + _PART) - mean32) @ axes for s in starts])

    digest = hashlib.sha256(axes.numpy().tobytes() + mean32.numpy().tobytes()).hexdigest()[:16]
    recipe = hashlib.sha256(f"pca/1/{COMPONENTS}/{_SIDE}/{_PCA_IMAGES}".encode()).hexdigest()[:16]
    about = f"{axes.shape[1]} principal components of the pixels"
    return Features("pixels", about, axes.shape[1], recipe, digest, project)


def _small(images: Pixels, begin: int = 0, end: int | None = None) -> Tensor:
    """Flat float32 pixels 0..1 (n, values) of uint8 images (N, C, H, W) `begin` to `end`, large ones read in parts."""
    at_once = max(1, _VALUES // images.shape[1:].numel())
    end = len(images) if end is None else min(end, len(images))
    parts = (images[start : min(start + at_once, end)] for start in range(begin, end, at_once))
    return torch.cat([averaged(part.cpu().float() / 255, _SIDE).flatten(1) for part in parts])
