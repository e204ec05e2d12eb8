"""Data: every source of images becomes one `ArrayData`, and `Batches` reads it as a function of the step.

Names load when they are first used, so that importing this package (or its options) loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.lazy import lazy

if TYPE_CHECKING:
    from fromnoise.data.batches import Batches
    from fromnoise.data.download import available, cache_dir, fetch
    from fromnoise.data.image_data import ArrayData, ImageData
    from fromnoise.data.loading import describe, load, splits, unseen
    from fromnoise.data.registry import DATASETS
    from fromnoise.settings import DataOptions

__all__ = [
    "DATASETS",
    "ArrayData",
    "Batches",
    "DataOptions",
    "ImageData",
    "available",
    "cache_dir",
    "describe",
    "fetch",
    "load",
    "splits",
    "unseen",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "ArrayData": "fromnoise.data.image_data",
        "Batches": "fromnoise.data.batches",
        "DATASETS": "fromnoise.data.registry",
        "DataOptions": "fromnoise.settings",
        "ImageData": "fromnoise.data.image_data",
        "available": "fromnoise.data.download",
        "cache_dir": "fromnoise.data.download",
        "describe": "fromnoise.data.loading",
        "fetch": "fromnoise.data.download",
        "load": "fromnoise.data.loading",
        "splits": "fromnoise.data.loading",
        "unseen": "fromnoise.data.loading",
    },
)
