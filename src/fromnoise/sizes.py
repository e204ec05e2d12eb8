"""How large the default network is and how many images make a step: by the images, the device and the time there is.

A small network sees more images in the same time and is ahead at first; then a larger one makes better pictures. On a
CPU small steps cost as much an image as large ones, nearly, and more of them learn more; a GPU idles between them.
What was measured: docs/recipe.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from fromnoise.clock import format_duration
from fromnoise.images import ImageSpec


@dataclass(frozen=True)
class Situation:
    """What a recipe may go by. spec, count: the images, not their pixels; device: "cpu", "cuda" or "mps".

    seconds: the time budget, None where a number of images or epochs was asked for.
    """

    spec: ImageSpec
    count: int
    device: str = "cpu"
    seconds: float | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether a step of many images takes little longer than one of few."""
        return self.device.startswith("cuda")


@dataclass(frozen=True)
class Size:
    """width: channels at the finest level. cpu, gpu: (images a step, Muon's learning rate for that) on either."""

    name: str
    width: int
    cpu: tuple[int, float]
    gpu: tuple[int, float]


SIZES = {
    size.name: size
    for size in (
        Size("small", 24, cpu=(64, 7e-3), gpu=(2048, 1e-2)),
        Size("base", 32, cpu=(64, 7e-3), gpu=(2048, 1e-2)),
        Size("large", 64, cpu=(64, 3.5e-3), gpu=(1024, 5e-3)),
    )
}
FEW_AT_ONCE = (32, 5e-3)  # where an epoch would have hardly a step otherwise
UP_TO = {"cpu": (240.0, 7200.0), "gpu": (10.0, 120.0)}  # seconds for which small and then base are best
STEPS_AN_EPOCH = 20
LARGE_IMAGES = 40  # pixels a side beyond which a network needs twice the channels
FEW = 2000  # images of which a larger network would learn every one by heart


@dataclass(frozen=True)
class Chosen:
    """A size as it is used: its name, channels, images a step and learning rate, and why it was chosen."""

    name: str
    width: int
    batch: int
    learning_rate: float
    why: str


def choose_size(at: Situation, asked: str = "auto") -> Chosen:
    """The size asked for by name, or the one that is best for the images, the device and the time."""
    name, why = (asked, "asked for") if asked != "auto" else _best(at)
    size = SIZES[name]
    width = size.width * (2 if max(at.spec.height, at.spec.width) > LARGE_IMAGES else 1)
    batch, rate = size.gpu if at.on_gpu else size.cpu
    if at.count < STEPS_AN_EPOCH * batch:
        batch, rate = FEW_AT_ONCE
    return Chosen(name, width, min(batch, at.count), rate, why)


def _best(at: Situation) -> tuple[str, str]:
    """(name, why)."""
    if at.count < FEW:
        return "small", f"{at.count:,} images are soon known by heart"
    if at.seconds is None:
        return "base", "no time budget was given"
    small, base = UP_TO["gpu" if at.on_gpu else "cpu"]
    name = "small" if at.seconds <= small else "base" if at.seconds <= base else "large"
    return name, f"best for {format_duration(at.seconds)} of a {'GPU' if at.on_gpu else 'CPU'}"
