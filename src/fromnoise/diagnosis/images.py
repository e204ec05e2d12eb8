"""The images that a diagnosis looks at: those to denoise, and those whose statistics it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.training_record import TrainingRecord

MOST_IMAGES = 256  # that are denoised, or sampled
MEASURED = 2048  # training images whose standard deviation and features are taken
_STATISTICS = 20_000  # training images for the baselines
_VALUES = 2**26  # values of images at once, by which memory is bounded: 21,845 colour images of 32 pixels


@dataclass(frozen=True)
class LabelledImages:
    """uint8 images (N, C, H, W) and what the network is conditioned on, as in `fromnoise.common.labels`, or None."""

    images: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class DiagnosisImages:
    """test: images to denoise. training: as many training images to denoise, None where `test` are training images.

    statistics: training images for the baselines, uint8, none of which is in `test`.
    """

    test: LabelledImages
    training: LabelledImages | None
    statistics: Tensor


def evenly_spaced(total: int, count: int) -> Tensor:
    """Up to `count` indices below `total`, int64, evenly spaced: images sorted by class show all classes."""
    return torch.linspace(0, total - 1, min(total, count), dtype=torch.float64).long()


def choose_images(data: ArrayData, count: int, *, labelled: bool = False) -> LabelledImages:
    """Up to `count` images, evenly spaced in `data`, with their labels if `labelled` and known."""
    images, labels = data.fetch(evenly_spaced(len(data), count))
    return LabelledImages(images.cpu(), labels.cpu() if labels is not None and labelled else None)


def diagnosis_images(record: TrainingRecord, count: int) -> DiagnosisImages:
    """Up to `count` images to denoise: held-out ones, or else up to half of the training images."""
    data, labelled = record.images, record.spec.conditioned
    if record.held_out is not None:  # with and without labels, errors could not be compared
        labelled = labelled and data.labels is not None and record.held_out.labels is not None
    free = torch.ones(len(data), dtype=torch.bool)
    if record.held_out is not None:
        test = choose_images(record.held_out, count, labelled=labelled)
        training = choose_images(data, count, labelled=labelled)
    else:
        test, training = choose_images(data, min(count, len(data) // 2), labelled=labelled), None
        free[evenly_spaced(len(data), len(test.images))] = False
    rest = free.nonzero().flatten()
    statistics = data.fetch(rest[evenly_spaced(len(rest), _affordable(data, _STATISTICS))])[0].cpu()
    return DiagnosisImages(test, training, statistics)


def data_deviation(record: TrainingRecord) -> float:
    """The standard deviation of the training images in the range of the model, at least 0.01."""
    data, spec = record.images, record.spec
    grey_levels = float(data.fetch(evenly_spaced(len(data), _affordable(data, MEASURED)))[0].double().std())
    return max(0.01, grey_levels * (spec.high - spec.low) / 255)


def _affordable(data: ArrayData, count: int) -> int:
    """`count`, or as many images as memory holds."""
    return max(2, min(count, _VALUES // math.prod(data.spec.shape)))
