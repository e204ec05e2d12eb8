"""What a diagnosis knows about how a model was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.settings import Settings


@dataclass(frozen=True)
class TrainingRecord:
    """How a model was trained.

    Arguments:
        settings: with which it was trained.
        spec: shape, classes and range of the images as the model takes them.
        images: the training images.
        held_out: images that were not trained on; None where there are none.
        images_seen: at the checkpoint.
        images_needed: about how many its recipe needs until samples are legible.
        metrics: the lines of metrics.jsonl.
        state: of the newest checkpoint: images, total and skipped; {} where there is none.
        elsewhere: whether its weights began with those of another training, of which nothing is known.
    """

    settings: Settings
    spec: ImageSpec
    images: ArrayData
    held_out: ArrayData | None
    images_seen: int
    images_needed: int
    metrics: Sequence[Mapping[str, Any]] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: bool = False
