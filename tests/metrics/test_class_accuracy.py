"""What the judge says is counted rightly, whatever the judge."""

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.metrics.class_accuracy import CONFIDENT, class_accuracy
from fromnoise.metrics.classifier import Classifier

PROBABILITIES = torch.tensor([[0.95, 0.03, 0.02], [0.6, 0.3, 0.1], [0.02, 0.97, 0.01], [0.2, 0.7, 0.1]])
IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


class Told(Classifier):
    """A judge whose answers are known."""

    def probabilities(self, images):
        return PROBABILITIES[: len(images)]


@pytest.fixture
def told():
    return Told(1, 3)


def test_judgement_without_labels(told):
    found = class_accuracy(told, IMAGES)
    assert CONFIDENT == 0.9
    assert found.confidence == pytest.approx((0.95 + 0.6 + 0.97 + 0.7) / 4)
    assert found.one_class == 0.5 and found.histogram == (0.5, 0.5, 0.0) and found.accuracy is None


def test_judgement_with_labels_has_the_share_that_agrees(told):
    assert class_accuracy(told, IMAGES, torch.tensor([0, 1, 1, 1])).accuracy == 0.75
    assert class_accuracy(told, IMAGES, torch.tensor([2, 2, 2, 2])).accuracy == 0.0


@pytest.mark.parametrize("labels", [[0, 1, 1], [0, 1, 1, 3], [-1, 0, 0, 0]])
def test_labels_that_do_not_fit_are_refused(told, labels):
    with pytest.raises(DataError, match="label"):
        class_accuracy(told, IMAGES, torch.tensor(labels))


def test_no_pictures_are_refused(told):
    with pytest.raises(DataError, match=r"\b0\b.*at least 1"):
        class_accuracy(told, IMAGES[:0])
