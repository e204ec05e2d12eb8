"""How large the default network is and how many images make a step: by the images, the device and the time there is.

A small network sees more images in the same time and is ahead at first; then a larger one makes better pictures. On a
CPU steps of few images are the better ones, since there are more of them; a GPU idles between them. What was measured:
docs/recipe.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from fromnoise.common.durations import format_duration
from fromnoise.common.image_spec import ImageSpec


@dataclass(frozen=True)
class Situation:
    """What a recipe may go by. spec, count: the images, not their pixels; device: "cpu", "cuda" or "mps".

    seconds: the time budget; planned: how many images are to be seen. Both None where they are not known. bf16: whether
    this is a CPU that is faster in it and may use it.
    """

    spec: ImageSpec
    count: int
    device: str = "cpu"
    seconds: float | None = None
    planned: int | None = None
    bf16: bool = False


@dataclass(frozen=True)
class Size:
    """width: channels at the finest level. cpu, gpu: (images a step, Muon's learning rate for that) on either.

    pace: about how many 28x28 images a second it trains on with two cores of a CPU in float32.
    """

    name: str
    width: int
    pace: float
    cpu: tuple[int, float]
    gpu: tuple[int, float]


SIZES = {
    size.name: size
    for size in (
        Size("tiny", 16, 860, cpu=(64, 7e-3), gpu=(2048, 1e-2)),
        Size("small", 24, 550, cpu=(64, 7e-3), gpu=(2048, 1e-2)),
        Size("base", 32, 365, cpu=(64, 7e-3), gpu=(2048, 1e-2)),
        Size("large", 64, 105, cpu=(64, 3.5e-3), gpu=(1024, 5e-3)),
    )
}
# Seconds of training up to which each size but the last is the best one.
UP_TO = {"cpu": (60.0, 240.0, 7200.0), "cuda": (0.0, 10.0, 120.0), "mps": (60.0, 240.0, 7200.0)}
NAMED = {"cpu": "a CPU", "cuda": "a GPU", "mps": "an Apple GPU"}
FASTER = {"bf16": 2.6, "cuda": 800.0}  # than two cores in float32: a CPU with bf16 instructions, a GPU
FOLDED = 64**2  # pixels beyond which a network folds them, and costs little more
LARGE_IMAGES = 40  # pixels a side beyond which a network needs twice the channels
FEW = 2000  # images of which a larger network would learn every one by heart
FEWEST = 32  # images a step that are always affordable
STEPS, STEPS_AN_EPOCH = 500, 20  # there should be as many, or a step is of fewer images
VALUES = 2**22  # pixels times channels of a step at most
# guidance = 1 + GUIDED (SURE / images seen)^SURER, its second part between these two
SURE, GUIDED, SURER = 200_000, 0.5, 0.25
LEAST_GUIDED, MOST_GUIDED = 0.2, 0.8
RATE = 0.1  # of the images a step, the power by which the learning rate goes: nearly none, as measured


@dataclass(frozen=True)
class Chosen:
    """A size as it is used: its name, channels, guidance, images a step and learning rate, and why it was chosen."""

    name: str
    width: int
    guidance: float
    batch: int
    learning_rate: float
    why: str


def choose_size(at: Situation, asked: str = "auto") -> Chosen:
    """The size asked for by name, or the one that is best for the images, the device and the time."""
    name, why = (asked, "asked for") if asked != "auto" else _best(at)
    size = SIZES[name]
    width = size.width * (2 if max(at.spec.height, at.spec.width) > LARGE_IMAGES else 1)
    full, rate = size.gpu if at.device == "cuda" else size.cpu
    batch = full
    while batch > FEWEST and batch > _most(at):
        batch //= 2
    more = min(MOST_GUIDED, max(LEAST_GUIDED, GUIDED * (SURE / _images(size, at)) ** SURER))
    return Chosen(name, width, round(1 + more, 2), min(batch, at.count), rate * (batch / full) ** RATE, why)


def _images(size: Size, at: Situation) -> float:
    """About how many images `size` will have seen: a network that saw more is surer of a class, and guided less."""
    if at.planned is not None:
        return max(1, at.planned)
    if at.seconds is None:
        return SURE
    faster = FASTER["cuda"] if at.device == "cuda" else FASTER["bf16"] if at.bf16 else 1.0
    pixels = min(at.spec.height * at.spec.width, FOLDED)
    return max(1.0, at.seconds * size.pace * faster * 28**2 / pixels)


def _most(at: Situation) -> float:
    """Images a step, so that an epoch and the whole training have enough steps, and memory holds them."""
    planned = float("inf") if at.planned is None else at.planned
    return min(at.count / STEPS_AN_EPOCH, planned / STEPS, VALUES / math.prod(at.spec.shape))


def _best(at: Situation) -> tuple[str, str]:
    """(name, why)."""
    if at.count < FEW:
        return "small", f"{at.count:,} images are soon known by heart"
    if at.seconds is None:
        return "base", "no time budget was given"
    name = list(SIZES)[bisect_left(UP_TO[at.device], at.seconds)]
    return name, f"best for {format_duration(at.seconds)} of {NAMED[at.device]}"
