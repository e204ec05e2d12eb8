"""Samplers. Each is one pure step; `loop.sample` is the only loop, `table.SAMPLERS` the names.

Names load when first asked for, so that the options can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fromnoise.samplers.base import Sampler
    from fromnoise.samplers.loop import Step, sample, start_noise, walk
    from fromnoise.samplers.table import SAMPLERS

__all__ = ["SAMPLERS", "Sampler", "Step", "sample", "start_noise", "walk"]

_HOMES = {
    "SAMPLERS": "table",
    "Sampler": "base",
    "Step": "loop",
    "sample": "loop",
    "start_noise": "loop",
    "walk": "loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
