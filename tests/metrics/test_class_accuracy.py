"""Class accuracy and confidence, counted on a classifier with known probabilities."""

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.metrics.class_accuracy import CONFIDENT, class_accuracy
from fromnoise.metrics.classifier import Classifier

PROBABILITIES = torch.tensor([[0.95, 0.03, 0.02], [0.6, 0.3, 0.1], [0.02, 0.97, 0.01], [0.2, 0.7, 0.1]])
IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


class KnownProbabilities(Classifier):
    """A classifier with known probabilities."""

    def probabilities(self, images):
        return PROBABILITIES[: len(images)]


@pytest.fixture
def classifier():
    return KnownProbabilities(1, 3)


def test_confidence_and_histogram_need_no_labels(classifier):
    found = class_accuracy(classifier, IMAGES)
    assert CONFIDENT == 0.9
    assert found.confidence == pytest.approx((0.95 + 0.6 + 0.97 + 0.7) / 4)
    assert found.one_class == 0.5 and found.histogram == (0.5, 0.5, 0.0) and found.accuracy is None


def test_accuracy_is_the_share_assigned_to_its_label(classifier):
    assert class_accuracy(classifier, IMAGES, torch.tensor([0, 1, 1, 1])).accuracy == 0.75
    assert class_accuracy(classifier, IMAGES, torch.tensor([2, 2, 2, 2])).accuracy == 0.0


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 1, 1, 3], [-1, 0, 0, 0]])
def test_labels_that_do_not_fit_are_refused(classifier, labels):
    with pytest.raises(DataError, match="label"):
        class_accuracy(classifier, IMAGES, torch.tensor(labels))


def test_no_images_are_refused(classifier):
    with pytest.raises(DataError, match=r"\b0\b.*at least 1"):
        class_accuracy(classifier, IMAGES[:0])
