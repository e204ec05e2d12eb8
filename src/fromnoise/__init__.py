"""fromnoise: train a diffusion or flow model from scratch, on the machine you have, and see every step.

Names load when they are first used, so that `import fromnoise` takes no time and no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fromnoise.common.version import __version__

if TYPE_CHECKING:
    from fromnoise.chapter.functions import corrupt, sample_with_step
    from fromnoise.nets.basic_unet import BasicUNet
    from fromnoise.run import Run

__all__ = ["BasicUNet", "Run", "__version__", "corrupt", "sample_with_step"]

_WHERE = {
    "Run": "fromnoise.run",
    "BasicUNet": "fromnoise.nets.basic_unet",
    "corrupt": "fromnoise.chapter.functions",
    "sample_with_step": "fromnoise.chapter.functions",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fromnoise' has no attribute '{name}'")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
