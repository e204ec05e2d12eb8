"""Samplers. Each is one pure step; `loop.sample` is the only loop, `registry.SAMPLERS` the names.

Names load when they are first used, so that the options can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.lazy import lazy

if TYPE_CHECKING:
    from fromnoise.diffusion.samplers.base import Sampler
    from fromnoise.diffusion.samplers.loop import Step, sample, start_noise, walk
    from fromnoise.diffusion.samplers.registry import SAMPLERS

__all__ = ["SAMPLERS", "Sampler", "Step", "sample", "start_noise", "walk"]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "SAMPLERS": "fromnoise.diffusion.samplers.registry",
        "Sampler": "fromnoise.diffusion.samplers.base",
        "Step": "fromnoise.diffusion.samplers.loop",
        "sample": "fromnoise.diffusion.samplers.loop",
        "start_noise": "fromnoise.diffusion.samplers.loop",
        "walk": "fromnoise.diffusion.samplers.loop",
    },
)
