"""What takes minutes: are samples useful, can they be told from real images, what do real images cost to send?"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.evaluation.evaluate import say
from fromnoise.evaluation.measure import Pictures
from fromnoise.evaluation.scores import subset
from fromnoise.metrics.classifier_tests import FEWEST, classification_accuracy_score, two_sample_test
from fromnoise.metrics.likelihood import bits_per_dimension

if TYPE_CHECKING:
    from fromnoise.run import Run


def deeper(run: Run, denoiser: Denoiser, made: Pictures) -> dict[str, Any]:
    """The deep measures by name, as plain JSON; what this run has no images, labels or noise for is left out.

    classification_accuracy beside real_accuracy, the same of equally many training images; two_sample_accuracy
    +- stderr, its p value and count; bits_per_dimension +- stderr, its three terms and how many images it is of.
    """
    test = run.held_out
    if test is None:
        return {}
    found: dict[str, Any] = {}
    if made.labels is not None and test.labels is not None and int(made.labels.min()) < int(made.labels.max()):
        say("deep: a classifier that learns from samples alone ...")
        samples = ArrayData("samples", "", made.images, made.labels, run.data.spec)
        found["classification_accuracy"] = classification_accuracy_score(samples, test)
        equally_many = subset(
            run.data, torch.randperm(len(run.data), generator=generator(0, "equally many"))[: len(made.images)]
        )
        found["real_count"] = len(equally_many)
        found["real_accuracy"] = classification_accuracy_score(equally_many, test)
    if min(len(made.images), len(test)) >= FEWEST:
        say("deep: a classifier that tells samples from test images ...")
        told = two_sample_test(made.images, test.images)
        found |= {"two_sample_accuracy": told.accuracy, "two_sample_accuracy_stderr": told.stderr}
        found |= {"two_sample_p_value": told.p_value, "two_sample_count": told.count}
    if denoiser.process.prior.gaussian:
        say("deep: bits per dimension of test images ...")
        exact = copy.copy(denoiser)
        exact.autocast = None  # bfloat16 loses fine grey levels
        bits = bits_per_dimension(exact, test, device=run.device)
        found |= {"bits_per_dimension": bits.bits, "bits_per_dimension_stderr": bits.stderr}
        found |= {
            "bits_prior": bits.prior,
            "bits_reconstruction": bits.reconstruction,
            "bits_diffusion": bits.diffusion,
        }
        found |= {"bits_images": bits.count, "bits_end": bits.end}
    return found
