"""How large the default network is and how many images make a step: by the images, the device and the time budget.

A small network sees more images in the same time and is ahead at first; then a larger one makes better samples. On a
CPU small batches are better, since there are more steps; on a GPU they would leave it idle. Measured in docs/recipe.md.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from fromnoise.common.durations import format_duration
from fromnoise.common.image_spec import ImageSpec


@dataclass(frozen=True)
class TrainingContext:
    """What a recipe may go by.

    Arguments:
        spec: shape and classes of the images.
        count: how many training images there are.
        device: "cpu", "cuda" or "mps".
        seconds: the time budget, None where there is none.
        planned: how many images will be seen, None where that is not known.
        bf16: whether this is a CPU that computes faster in bfloat16 and may use it.
        flat_share: which share of the images' values are exactly black or white, 0 to 1.
        mirror_gap: how much farther from the others mirrored images are than the images; None where that is not known.
        class_agreement: how often an image's nearest other one is of its class, 0 as by chance, 1 always; None where
            that is not known.
    """

    spec: ImageSpec
    count: int
    device: str = "cpu"
    seconds: float | None = None
    planned: int | None = None
    bf16: bool = False
    flat_share: float = 0.0
    mirror_gap: float | None = None
    class_agreement: float | None = None

    @property
    def drawings(self) -> bool:
        """Whether the images are drawings, such as digits on plain paper, rather than photographs."""
        return self.flat_share >= FLAT_SHARE

    @property
    def symmetric(self) -> bool:
        """Whether images are photographs that may be mirrored: as near to the others, and no condition is an angle."""
        alike = self.mirror_gap is not None and self.mirror_gap <= MIRROR_GAP
        return alike and not self.drawings and not self.spec.conditions

    @property
    def share_of_guidance(self) -> float:
        """Of the usual one, which photographs want whose classes agree more often; LEAST_SHARE to 1."""
        agreement = USUAL_AGREEMENT if self.class_agreement is None else self.class_agreement
        return min(1.0, max(LEAST_SHARE, (1 - agreement) / (1 - USUAL_AGREEMENT)))


@dataclass(frozen=True)
class Size:
    """One size of the default network.

    Arguments:
        width: channels at the finest level.
        images_per_second: about how many 28x28 images it trains on with two cores of a CPU in float32.
        cpu, gpu: (images per step, Muon's learning rate for that) on either.
    """

    name: str
    width: int
    images_per_second: float
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
# Seconds of training up to which each size but the last is the best one: a small network sees more images at first.
SECONDS_LIMIT = {"cpu": (60.0, 240.0, 7200.0), "cuda": (0.0, 10.0, 120.0), "mps": (60.0, 240.0, 7200.0)}
DEVICE_LABEL = {"cpu": "a CPU", "cuda": "a GPU", "mps": "an Apple GPU"}
SPEEDUP = {"bf16": 2.6, "cuda": 800.0}  # over two cores in float32: a CPU with bf16 instructions, a GPU
FOLD_PIXELS = 64**2  # pixels beyond which a network folds them, and costs little more
LARGE_IMAGES = 40  # pixels a side beyond which a network needs twice the channels, more noise, and photographs guidance
USUAL_SIDE = 32  # pixels a side of the images whose noise levels the larger ones are compared with
MOST_SHIFT = 2.0  # of noise levels: at 64 and at 96 pixels three times was worse than twice
SMALL_DATASET = 2000  # images below which a larger network would overfit
SMALL_IMAGES = 28**2  # pixels below which drawings want less guidance: so few are settled sooner
MIRRORED_FROM = 100  # times that each photograph is seen, beyond which a network memorises them
MIRROR_GAP = 0.02  # up to which mirrored images are as good: digits have 0.5 and more, CIFAR-10's photographs 0.00
USUAL_AGREEMENT = 0.5  # of classes, up to which photographs want the whole guidance: CIFAR-10's have 0.15
LEAST_SHARE = 0.25  # of guidance that is left where each image's nearest is of its class
MIN_BATCH = 32  # images per step that are always affordable
MIN_STEPS, MIN_STEPS_PER_EPOCH = 500, 20  # a batch is halved until there are as many
MAX_VALUES = 2**22  # pixels times channels per step, by which memory is bounded
FLAT_SHARE = 0.3  # of exactly black and white values, from which images are drawings: photographs have a hundredth
LR_BATCH_POWER = 0.1  # power of the batch size by which the learning rate grows: nearly none, as measured


@dataclass(frozen=True)
class GuidanceRule:
    """guidance_scale = 1 + gain (200,000 / images seen)^power, its second part kept between `least` and `most`.

    A network that has seen more images needs less guidance (docs/recipe.md).
    """

    gain: float
    power: float
    least: float
    most: float

    def scale(self, images: float) -> float:
        """The strength for a network that will have seen `images`."""
        gain = self.gain * math.pow(USUAL_IMAGES / images, self.power)
        return round(1 + min(self.most, max(self.least, gain)), 2)


USUAL_IMAGES = 200_000
DRAWING_GUIDANCE = GuidanceRule(0.45, 1.0, least=0.2, most=0.95)
PHOTOGRAPH_GUIDANCE = GuidanceRule(1.7, 0.5, least=1.6, most=3.4)
LARGE_PHOTOGRAPH_GUIDANCE = GuidanceRule(2.2, 0.5, least=1.6, most=4.4)


@dataclass(frozen=True)
class ModelSize:
    """A size as it is used: name, channels, guidance scale, images per step, learning rate, and why it was chosen.

    mirrored: whether images are mirrored half of the time. time_shift: of the noise levels that are trained.
    """

    name: str
    width: int
    guidance: float
    batch: int
    learning_rate: float
    reason: str
    mirrored: bool = False
    time_shift: float = 1.0


def choose_size(context: TrainingContext, requested: str = "auto") -> ModelSize:
    """The size requested by name, or the one that is best for the images, the device and the time."""
    name, reason = (requested, "requested") if requested != "auto" else _best(context)
    size = SIZES[name]
    side = max(context.spec.height, context.spec.width)
    large = side > LARGE_IMAGES
    width = size.width * (2 if large else 1)
    full, rate = size.gpu if context.device == "cuda" else size.cpu
    batch = full
    while batch > MIN_BATCH and batch > _largest_batch(context):
        batch //= 2
    seen = _images_seen(size, context)
    guidance = _guidance(seen, context, large)
    learning_rate = rate * (batch / full) ** LR_BATCH_POWER
    mirrored = context.symmetric and seen > MIRRORED_FROM * context.count
    shift = min(round(side / USUAL_SIDE, 2), MOST_SHIFT) if large else 1.0
    return ModelSize(name, width, guidance, min(batch, context.count), learning_rate, reason, mirrored, shift)


def _guidance(seen: float, context: TrainingContext, large: bool) -> float:
    """The guidance scale of a network that will have seen so many images; small drawings count for more.

    Classes of photographs that are easily distinguished want less of it.
    """
    if not context.drawings:
        whole = (LARGE_PHOTOGRAPH_GUIDANCE if large else PHOTOGRAPH_GUIDANCE).scale(seen)
        return round(1 + (whole - 1) * context.share_of_guidance, 2)
    pixels = context.spec.height * context.spec.width
    return DRAWING_GUIDANCE.scale(seen * max(1.0, SMALL_IMAGES / pixels) ** 2)


def _images_seen(size: Size, context: TrainingContext) -> float:
    """About how many images `size` will have seen at the end."""
    if context.planned is not None:
        return max(1, context.planned)
    if context.seconds is None:
        return USUAL_IMAGES
    speedup = SPEEDUP["cuda"] if context.device == "cuda" else SPEEDUP["bf16"] if context.bf16 else 1.0
    pixels = min(context.spec.height * context.spec.width, FOLD_PIXELS)
    return max(1.0, context.seconds * size.images_per_second * speedup * 28**2 / pixels)


def _largest_batch(context: TrainingContext) -> float:
    """Images per step, so that an epoch and the whole training have enough steps, and memory holds them."""
    planned = float("inf") if context.planned is None else context.planned
    return min(context.count / MIN_STEPS_PER_EPOCH, planned / MIN_STEPS, MAX_VALUES / math.prod(context.spec.shape))


def _best(context: TrainingContext) -> tuple[str, str]:
    """(name, reason)."""
    if context.count < SMALL_DATASET:
        return "small", f"small dataset ({context.count:,} images): a larger network would overfit"
    if context.seconds is None:
        return "base", "no time budget was given"
    name = list(SIZES)[bisect_left(SECONDS_LIMIT[context.device], context.seconds)]
    return name, f"best for {format_duration(context.seconds)} of {DEVICE_LABEL[context.device]}"
