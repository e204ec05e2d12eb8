"""Samples beside real images, in the features of a classifier of these images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fromnoise.common.progress import report_progress
from fromnoise.data import cache_dir
from fromnoise.diagnosis.images import MEASURED, LabelledImages, choose_images
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.metrics.features import Features, domain
from fromnoise.metrics.kid import KernelDistance, kernel_distance
from fromnoise.model.labels import spread_labels
from fromnoise.model.trained_model import TrainedModel

FEWEST_IMAGES = 4  # training images that a kernel distance can be taken from


@dataclass(frozen=True)
class SampleComparison:
    """Samples and what they are compared with.

    Arguments:
        samples: in the numbers that `make_samples` makes.
        record: holds the real images.
        statistics: training images, uint8, whose mean is an image that shows no knowledge of any.
        features: the space of the comparison.
    """

    samples: LabelledImages
    record: TrainingRecord
    statistics: Tensor
    features: Features

    @cached_property
    def reference(self) -> Tensor:
        """The features of up to 2,048 training images, float32 (N, D)."""
        return self.features.of(choose_images(self.record.images, MEASURED).images)

    @cached_property
    def of_samples(self) -> Tensor:
        """The features of the samples, float32 (N, D)."""
        return self.features.of(self.samples.images)

    @cached_property
    def distance(self) -> KernelDistance:
        """The kernel distance of the samples from the training images."""
        return kernel_distance(self.of_samples, self.reference)

    @cached_property
    def held_out_distance(self) -> float | None:
        """That of as many held-out images, which a perfect model would reach; None where there are too few."""
        held_out, count = self.record.held_out, len(self.samples.images)
        if held_out is None or len(held_out) < count:
            return None
        return kernel_distance(self.features.of(choose_images(held_out, count).images), self.reference).value

    @cached_property
    def mean_image_distance(self) -> float:
        """That of the mean training image, as often as there are samples."""
        mean = self.statistics.double().mean(0, keepdim=True).round().byte()
        same = self.features.of(mean).expand(len(self.samples.images), -1)
        return kernel_distance(same, self.reference).value


def classifier_features(record: TrainingRecord) -> Features:
    """The features of a classifier of the training images, which is trained once and kept."""
    report_progress("training a classifier on the real images, once for this data ...")
    return domain(record.images, cache_dir() / "classifiers")


def make_samples(model: TrainedModel, count: int) -> LabelledImages:
    """`count` samples from the first seeds, each class as often as there were images of it."""
    classes = model.spec.classes
    chosen = spread_labels(count, model.label_counts or [1] * len(classes)) if classes else None
    images = model.sample_labelled(list(range(count)), model.completed(range(count), chosen)).images
    return LabelledImages(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), chosen)
