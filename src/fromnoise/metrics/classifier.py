"""A small classifier of the real images: it measures class accuracy and gives the default features.

    uint8 (N, C, H, W) -> 3 x (convolution, batch normalisation) -> 4x4 pooling -> 128 features -> classes

It shares nothing with the models that are measured with it. How it is trained: `classifier_training`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fromnoise.common.errors import DataError
from fromnoise.common.memory import BatchLimit
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Pixels
from fromnoise.metrics.checks import hash_of

FEATURES = 128
WIDTHS = (16, 32, 64)
POOLED = 4  # the last convolution's output is averaged to 4x4
LARGEST_SIDE = 64  # larger images are averaged down first
BATCH = 256  # images at once, which bounds memory


class Classifier(nn.Module):
    """Three convolutions with batch normalisation, a 4x4 pooling, 128 features, one linear layer.

    156,000 parameters for 1 channel and 10 classes. Takes uint8 (N, C, H, W) of any size; sides above 64 are
    averaged down. The features come before any ReLU, so none of them is dead.
    """

    temperature: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.channels = channels
        self.limit = BatchLimit(BATCH)
        self.trunk = nn.Sequential(
            *_convolution(channels, first, halve=True),
            *_convolution(first, second, halve=True),
            *_convolution(second, third, halve=False),
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(third * POOLED**2, FEATURES),
        )
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("temperature", torch.ones(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) for uint8 images (N, C, H, W)."""
        return cast(Tensor, self.head(F.relu(self._embed(images))))

    def features(self, images: Pixels) -> Tensor:
        """float32 (N, 128) for uint8 images (N, C, H, W), in batches, on the CPU.

        Raises DataError for images of another kind or number of channels.
        """
        return self._in_batches(self._embed, images)

    def probabilities(self, images: Pixels) -> Tensor:
        """float32 (N, classes), rows sum to 1, for uint8 images (N, C, H, W), in batches, on the CPU.

        softmax(logits / temperature): without the temperature, label smoothing would keep every probability below 0.96.
        Raises DataError for images of another kind or number of channels.
        """
        return self._in_batches(lambda part: (self(part) / self.temperature).softmax(1), images)

    @property
    def weight_hash(self) -> str:
        """`hash_of` the weights: equal only for the same classifier."""
        return hash_of(self)

    def _embed(self, images: Tensor) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1
        return cast(Tensor, self.trunk(averaged(x, LARGEST_SIDE)))

    @torch.no_grad()
    def _in_batches(self, function: Callable[[Tensor], Tensor], images: Pixels) -> Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != self.channels:
            given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
            raise DataError(
                f"the images are {given}, but the classifier takes uint8 (N, {self.channels}, H, W); "
                "give images like those it was trained on"
            )
        self.eval()  # in training mode an image's features would depend on its neighbours in the batch
        device = self.head.weight.device
        return self.limit.map(lambda part: function(images[part].to(device)).cpu(), len(images))


def averaged(x: Tensor, side: int) -> Tensor:
    """Float images (N, C, H, W), averaged down where a side is longer than `side`, which then is that of the longer."""
    height, width = x.shape[-2:]
    if max(height, width) <= side:
        return x
    scale = side / max(height, width)
    return F.interpolate(x, (max(1, round(height * scale)), max(1, round(width * scale))), mode="area")


def _convolution(channels: int, width: int, halve: bool) -> list[nn.Module]:
    # Halved first: all that follows costs a quarter.
    pool = [nn.MaxPool2d(2, ceil_mode=True)] if halve else []
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), *pool, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def accuracy(classifier: Classifier, data: ArrayData) -> float:
    """Share of `data` that the classifier assigns to its class, 0..1; DataError without labels."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels to compare with; give labelled data")
    return float((classifier.probabilities(data.images).argmax(1) == data.labels.cpu()).double().mean())
