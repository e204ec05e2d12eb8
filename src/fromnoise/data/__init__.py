"""Data: every source of images becomes one `ArrayData`, and `Batches` reads it as a function of the step.

Names load when first asked for, so that importing this package (or its options) loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fromnoise.data.batches import Batches
    from fromnoise.data.catalogue import DATASETS
    from fromnoise.data.dataset import ArrayData, ImageData
    from fromnoise.data.download import available, cache_dir, fetch
    from fromnoise.data.loading import describe, load, splits, unseen
    from fromnoise.data.options import DataOptions

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

_HOMES = {
    "ArrayData": "dataset",
    "Batches": "batches",
    "DATASETS": "catalogue",
    "DataOptions": "options",
    "ImageData": "dataset",
    "available": "download",
    "cache_dir": "download",
    "describe": "loading",
    "fetch": "download",
    "load": "loading",
    "splits": "loading",
    "unseen": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
