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
class ImageSpec:
    """Shape, classes and float range of a set of images; kept in the run's config.json.

    channels: 1 (grey), 3 (RGB) or 4 (RGBA). classes: their names in label order, empty without labels.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    low: float = -1.0
    high: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def null_label(self) -> int:
        """The label that means "no class": one past the last."""
        return len(self.classes)

    def encode(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) to float32 in [low, high]."""
        return images.float().mul_((self.high - self.low) / 255.0).add_(self.low)

    def decode(self, x: Tensor) -> Tensor:
        """Float (B, C, H, W), nominally in [low, high], to uint8: clipped, then rounded to nearest."""
        unit = (x.detach().float() - self.low) / (self.high - self.low)
        return unit.clamp(0, 1).mul(255).round().byte()

    def to_json(self) -> dict[str, Any]:
        """A plain dict, the inverse of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> ImageSpec:
        """The spec that `to_json` described."""
        return ImageSpec(**{**fields, "classes": tuple(fields["classes"])})

    def __str__(self) -> str:
        kind = {1: "grey", 3: "RGB", 4: "RGBA"}.get(self.channels, f"{self.channels}-channel")
        classes = f", {len(self.classes)} classes" if self.classes else ", no classes"
        return f"{self.height}x{self.width} {kind}{classes}"
