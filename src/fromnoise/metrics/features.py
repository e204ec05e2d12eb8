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
from math import prod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.metrics.classifier import FEATURES, Classifier
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.metrics.classifier_training import recipe_hash

COMPONENTS = 64
_SIDE = 32  # pixels a side; larger images are averaged down before their components are computed
_PCA_IMAGES = 20_000  # more change the components by less than their rounding to grey levels
_ROTATED = 25_000  # images that are rotated; four versions of each are held in memory, so that of large ones there are
_ROTATED_BYTES, _FEWEST_ROTATED = 2**29, 1000  # fewer: so many bytes of them, but at least so many
_PART = 1024


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
    labelled = data.labels is not None and int((data.label_counts > 0).sum()) >= 2
    task = data if labelled else rotated(data)
    net = cached_classifier(task, cache_dir, seed=seed)
    about = f"a classifier of {len(task.spec.classes)} {'classes' if labelled else 'orientations'}"
    own, recipe = (net, recipe_hash()) if labelled else (None, recipe_hash(**_rotations(data)))
    return Features("domain", about, FEATURES, recipe, net.weight_hash[:16], net.features, own)


def _rotations(data: ArrayData) -> dict[str, int]:
    """How many images are rotated, where that is not what it is for small ones: part of the recipe then."""
    most = max(_FEWEST_ROTATED, _ROTATED_BYTES // prod(data.spec.shape))
    return {"rotated": most} if most < min(_ROTATED, len(data)) else {}


def rotated(data: ArrayData) -> ArrayData:
    """Up to 25,000 images, of large ones fewer, four times, labelled by rotation: quarter turns, or mirrored where they
    are not square."""
    most = _rotations(data).get("rotated", _ROTATED)
    chosen = torch.randperm(len(data), generator=generator(0, "turned"))[:most].sort().values
    images = data.fetch(chosen)[0].cpu()
    spec, square = data.spec, data.spec.height == data.spec.width
    if square:
        names = ("upright", "a quarter", "upside down", "three quarters")
        ways = [torch.rot90(images, quarter, (2, 3)) for quarter in range(4)]
    else:
        names = ("upright", "mirrored", "upside down", "both")
        ways = [images, images.flip(3), images.flip(2), images.flip(2, 3)]
    labels = torch.arange(4).repeat_interleave(len(images))
    about = ImageSpec(spec.channels, spec.height, spec.width, names, spec.low, spec.high)
    return replace(data, images=torch.cat(ways), labels=labels, spec=about, notes=(), conditions=None)


def pixels(data: ArrayData) -> Features:
    """The first 64 principal components of the training images, values 0..1, sides averaged down to at most 32."""
    chosen = torch.randperm(len(data), generator=generator(0, "components"))[:_PCA_IMAGES].sort().values
    some = _small(data.fetch(chosen)[0].cpu()).double()
    mean = some.mean(0)
    some -= mean
    _, vectors = torch.linalg.eigh(some.T @ some / len(some))
    axes = vectors[:, -COMPONENTS:].flip(1).float()
    mean32 = mean.float()

    def project(images: Pixels) -> Tensor:
        starts = range(0, len(images), _PART)
        return torch.cat([(_small(images[s : s + _PART].cpu()) - mean32) @ axes for s in starts])

    digest = hashlib.sha256(axes.numpy().tobytes() + mean32.numpy().tobytes()).hexdigest()[:16]
    recipe = hashlib.sha256(f"pca/1/{COMPONENTS}/{_SIDE}/{_PCA_IMAGES}".encode()).hexdigest()[:16]
    about = f"{axes.shape[1]} principal components of the pixels"
    return Features("pixels", about, axes.shape[1], recipe, digest, project)


def _small(images: Tensor) -> Tensor:
    """Flat float32 pixels 0..1 (N, values) of uint8 (N, C, H, W)."""
    x = images.float() / 255
    height, width = x.shape[-2:]
    if max(height, width) > _SIDE:
        scale = _SIDE / max(height, width)
        x = F.interpolate(x, (max(1, round(height * scale)), max(1, round(width * scale))), mode="area")
    return x.flatten(1)
