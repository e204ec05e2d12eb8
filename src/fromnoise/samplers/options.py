"""How pictures are made from a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option

SamplerName = Literal[
    "ddim",
    "mix",
    "ddpm",
    "euler",
    "heun",
    "euler_ancestral",
    "dpmpp_2m",
    "dpmpp_3m",
    "unipc_2",
    "unipc_3",
    "ipndm_4",
    "edm",
    "renoise",
]


@dataclass(frozen=True)
class SampleOptions:
    """Sampler, grid and guidance."""

    sampler: SamplerName = option("ddim", "the rule that steps from t to s (`fromnoise sample --list` tells of each)")
    grid: str = option(
        "auto",
        "the times it stops at: auto, uniform, trailing, leading, flow, karras, log_snr, shifted, spread, or 1,0.5,0",
    )
    steps: int = option(20, "how many steps", least=1, most=10_000)
    eta: float | None = option(None, "share of fresh noise in each step of ddim or mix", least=0, most=1)
    churn: float | None = option(None, "how far edm raises the noise level before each step", least=0, most=0.4143)
    guidance_scale: float = option(1.0, "pull towards the class: 1 is none; any other value doubles the cost", least=0)
    guidance_interval: tuple[float, ...] | None = option(None, "the lowest and highest time t at which guidance pulls")
    guidance_rescale: float = option(0.0, "how far guided guesses get back their own contrast", least=0, most=1)
    autoguidance: float = option(1.0, "push away from the checkpoint `weaker`: 1 is none, 2 doubles the lead", least=0)
    weaker: str | None = option(None, "images seen at the checkpoint that autoguidance pushes away from")
    clip: bool = option(False, "clip each guess at the clean image to the images' range")
    threshold: float | None = option(
        None, "draw guesses in by this quantile instead of clipping, such as 0.995", least=0.5, most=1
    )
    batch_size: int = option(256, "pictures made at once; it does not change them", least=1)


def guidance_words(scale: float, interval: Sequence[float] | None) -> str:
    """Such as "guidance 1.5 at times 0.3 to 0.8"; empty where there is none."""
    where = f" at times {interval[0]:g} to {interval[1]:g}" if interval else ""
    return f"guidance {scale:g}{where}" if scale != 1 else ""
