"""What a classifier learns from samples is what they show: their classes, their labels and no more."""

from dataclasses import replace

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics import classifier as room
from fromnoise.metrics.usefulness import classification_accuracy_score


def stripes(name="test", count=90, seed=0):
    """Images whose class is the place of a bright column."""
    labels = torch.arange(count) % 3
    images = torch.randint(0, 60, (count, 1, 8, 8), generator=generator(seed, "stripes"), dtype=torch.uint8)
    images[torch.arange(count), :, :, 3 * labels] = 255
    return ArrayData(name, "test", images, labels, ImageSpec(1, 8, 8, ("a", "b", "c")))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(room, "_LEAST_STEPS", 40)


def test_good_samples_teach_the_real_classes():
    assert classification_accuracy_score(stripes("samples", seed=1), stripes()) == 1.0


def test_the_seed_decides():
    samples = stripes("samples", seed=1)
    noisy = replace(samples, labels=samples.labels[torch.randperm(90, generator=generator(0, "mixed"))])
    scores = [classification_accuracy_score(noisy, stripes(), seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] and len(set(scores)) > 1


def test_a_class_that_is_missing_is_not_known():
    samples = stripes("samples", seed=1)
    kept = samples.labels != 2
    score = classification_accuracy_score(
        replace(samples, images=samples.images[kept], labels=samples.labels[kept]), stripes()
    )
    assert score == pytest.approx(2 / 3, abs=0.01)


def test_wrong_labels_are_learned():
    samples = stripes("samples", seed=1)
    assert classification_accuracy_score(replace(samples, labels=(samples.labels + 1) % 3), stripes()) == 0.0


def test_what_cannot_be_scored_is_refused_before_training(monkeypatch):
    monkeypatch.setattr("fromnoise.metrics.usefulness.train_classifier", None)
    samples, test = stripes("samples"), stripes()
    with pytest.raises(DataError, match=r"samples.*\b0\b.*at least 2"):
        classification_accuracy_score(replace(samples, labels=None), test)
    with pytest.raises(DataError, match=r"samples.*\b1\b.*at least 2"):
        classification_accuracy_score(replace(samples, labels=torch.zeros_like(samples.labels)), test)
    with pytest.raises(DataError, match=r"\btest\b"):
        classification_accuracy_score(samples, replace(test, labels=None))
    with pytest.raises(DataError, match=r"\btest\b"):
        classification_accuracy_score(samples, replace(test, images=test.images[:0], labels=test.labels[:0]))
    with pytest.raises(DataError, match=r"a, b, c.*\btest\b.*x, y, z"):
        classification_accuracy_score(samples, replace(test, spec=replace(test.spec, classes=("x", "y", "z"))))
    with pytest.raises(DataError, match=r"\(1, 8, 8\).*\btest\b.*\(1, 8, 4\)"):
        classification_accuracy_score(samples, replace(test, spec=replace(test.spec, width=4)))
