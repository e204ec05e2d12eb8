"""What the images are, and the one place that knows their range: uint8 outside, float inside.

    x = low + (high - low) * u / 255          encode, u in 0..255
    u = round(255 * (x - low) / (high - low)) decode, clipped to 0..255

The chapter works in [0, 1], diffusers' DDPM and our default recipe in [-1, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """A number that images are conditioned on beside their class, such as slant, and its values in the training images.

    mean, std: by which a network sees it standardised. least, most: the range that was trained.
    """

    name: str
    mean: float
    std: float
    least: float
    most: float


@dataclass(frozen=True)
class GuidanceInput:
    """The guidance scales that a network takes as an input: 1 to `most`, at times within `interval`, None for all."""

    most: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ImageSpec:
    """Shape, classes, conditions and float range of a set of images; kept in the run's config.json.

    channels: 1 (grey), 3 (RGB) or 4 (RGBA). classes: their names in label order, empty without labels.
    guidance_input: the scales that a network is conditioned on; None where guidance is a second evaluation.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    low: float = -1.0
    high: float = 1.0
    conditions: tuple[Condition, ...] = ()
    guidance_input: GuidanceInput | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def null_label(self) -> int:
        """The label that means "no class": one past the last."""
        return len(self.classes)

    @property
    def conditioned(self) -> bool:
        """Whether there is anything beside the time that a network can be conditioned on."""
        return bool(self.classes or self.conditions)

    def encode(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) to float32 in [low, high]."""
        return images.float().mul_((self.high - self.low) / 255.0).add_(self.low)

    def decode(self, x: Tensor) -> Tensor:
        """Float (B, C, H, W), nominally in [low, high], to uint8: clipped, then rounded to nearest."""
        unit = (x.detach().float() - self.low) / (self.high - self.low)
        return unit.clamp(0, 1).mul(255).round().byte()

    def to_json(self) -> dict[str, Any]:
        """A plain dict, the inverse of `from_json`."""
        plain = asdict(self)
        for name in ("conditions", "guidance_input"):
            if not plain[name]:
                del plain[name]  # which earlier versions do not know
        return plain

    @staticmethod
    def from_json(fields: dict[str, Any]) -> ImageSpec:
        """The spec that `to_json` described."""
        conditions = tuple(Condition(**one) for one in fields.get("conditions", ()))
        guidance = fields.get("guidance_input")
        if guidance is not None:
            guidance = GuidanceInput(guidance["most"], guidance["interval"] and tuple(guidance["interval"]))
        changed = {"classes": tuple(fields["classes"]), "conditions": conditions, "guidance_input": guidance}
        return ImageSpec(**{**fields, **changed})

    def __str__(self) -> str:
        kind = {1: "grey", 3: "RGB", 4: "RGBA"}.get(self.channels, f"{self.channels}-channel")
        classes = f", {len(self.classes)} classes" if self.classes else ", no classes"
        numbers = f", conditions {', '.join(one.name for one in self.conditions)}" if self.conditions else ""
        return f"{self.height}x{self.width} {kind}{classes}{numbers}"
