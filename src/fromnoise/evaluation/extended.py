"""Measures that take minutes: classification accuracy score, two-sample test, bits per dimension."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.progress import report_progress
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.samples import SampleSet
from fromnoise.metrics.classifier_tests import FEWEST, classification_accuracy_score, two_sample_test
from fromnoise.metrics.likelihood import bits_per_dimension
from fromnoise.model.trained_model import TrainedModel


def measure_extended(
    model: TrainedModel, train: ArrayData, test: ArrayData | None, samples: SampleSet
) -> dict[str, Any]:
    """The extended measures by name, as plain JSON; without test images, labels or normal noise some are left out.

    classification_accuracy beside real_accuracy, the same of equally many training images; two_sample_accuracy
    +- stderr, its p value and count; bits_per_dimension +- stderr, its three terms and how many images it is of.
    """
    if test is None:
        return {}
    return {
        **_classification_accuracy(train, test, samples),
        **_two_sample(test, samples),
        **_bits_per_dimension(model, test),
    }


def left_out(extended: Mapping[str, Any]) -> str:
    """Which of the extended measures could not be taken, and what they need, in one sentence; "" if all were."""
    needed = {
        "classification_accuracy": "the classification accuracy score (test images with classes, two and more)",
        "two_sample_accuracy": f"the two-sample test ({FEWEST} test images)",
        "bits_per_dimension": "bits per dimension (test images, normal noise, and a run that is not distilled)",
    }
    missing = [words for name, words in needed.items() if name not in extended]
    return f"left out for want of what they need: {'; '.join(missing)}" if missing else ""


def _classification_accuracy(train: ArrayData, test: ArrayData, samples: SampleSet) -> dict[str, Any]:
    if samples.labels is None or test.labels is None or train.labels is None:
        return {}
    count = min(len(samples.images), len(train))
    generated = ArrayData("samples", "", samples.images[:count], samples.labels[:count], train.spec)
    equally_many = train.subset(torch.randperm(len(train), generator=generator(0, "equally many"))[:count])
    if _one_class(generated.labels) or _one_class(equally_many.labels):
        return {}
    report_progress("extended: a classifier trained on samples alone ...")
    return {
        "classification_accuracy": classification_accuracy_score(generated, test),
        "real_count": count,
        "real_accuracy": classification_accuracy_score(equally_many, test),
    }


def _one_class(labels: Tensor | None) -> bool:
    return labels is None or int(labels.min()) == int(labels.max())


def _two_sample(test: ArrayData, samples: SampleSet) -> dict[str, Any]:
    if min(len(samples.images), len(test)) < FEWEST:
        return {}
    report_progress("extended: a classifier of samples against test images ...")
    result = two_sample_test(samples.images, test.images[:])
    return {
        "two_sample_accuracy": result.accuracy,
        "two_sample_accuracy_stderr": result.stderr,
        "two_sample_p_value": result.p_value,
        "two_sample_count": result.count,
    }


def _bits_per_dimension(model: TrainedModel, test: ArrayData) -> dict[str, Any]:
    if not model.process.prior.gaussian or model.distilled or len(test) < 2:  # an average with its error
        return {}
    report_progress("extended: bits per dimension of test images ...")
    exact = copy.copy(model.denoiser)
    exact.autocast = None  # bfloat16 loses fine grey levels
    bits = bits_per_dimension(exact, test, device=model.device)
    return {
        "bits_per_dimension": bits.bits,
        "bits_per_dimension_stderr": bits.stderr,
        "bits_prior": bits.prior,
        "bits_reconstruction": bits.reconstruction,
        "bits_diffusion": bits.diffusion,
        "bits_images": bits.count,
        "bits_end": bits.end,
    }
