"""How pictures are made from a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option


@dataclass(frozen=True)
class SampleOptions:
    """Sampler, grid and guidance."""

    sampler: Literal["ddim", "ddpm", "euler", "heun", "dpmpp_2m"] = option("ddim", "the rule that steps from t to s")
    grid: Literal["uniform", "trailing", "karras"] = option("uniform", "the times that the sampler stops at")
    steps: int = option(20, "how many steps", least=1, most=10_000)
    guidance_scale: float = option(1.0, "pull towards the class: 1 is none; any other value doubles the cost", least=0)
    clip: bool = option(False, "clip each guess at the clean image to the images' range")
    batch_size: int = option(256, "pictures made at once; it does not change them", least=1)
