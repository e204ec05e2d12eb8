"""Classification accuracy score and two-sample test: what the classifier learns, and the binomial numbers."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics import classifier_tests, classifier_training
from fromnoise.metrics.classifier_tests import classification_accuracy_score, two_sample_test


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(classifier_training, "_LEAST_STEPS", 40)


def stripes(name="test", count=90, seed=0):
    """Images whose class is the place of a bright column."""
    labels = torch.arange(count) % 3
    images = torch.randint(0, 60, (count, 1, 8, 8), generator=generator(seed, "stripes"), dtype=torch.uint8)
    images[torch.arange(count), :, :, 3 * labels] = 255
    return ArrayData(name, "test", images, labels, ImageSpec(1, 8, 8, ("a", "b", "c")))


def test_good_samples_teach_the_real_classes():
    assert classification_accuracy_score(stripes("samples", seed=1), stripes()) == 1.0


def test_the_seed_decides_the_score():
    samples = stripes("samples", seed=1)
    noisy = replace(samples, labels=samples.labels[torch.randperm(90, generator=generator(0, "mixed"))])
    scores = [classification_accuracy_score(noisy, stripes(), seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] and len(set(scores)) > 1


def test_a_missing_class_costs_its_share():
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
    monkeypatch.setattr("fromnoise.metrics.classifier_tests.train_classifier", None)
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


def noise(count, seed, low=0, high=256):
    return torch.randint(low, high, (count, 1, 8, 8), generator=generator(seed, "noise"), dtype=torch.uint8)


def test_images_of_one_distribution_give_an_accuracy_of_one_half():
    found = [two_sample_test(noise(200, 2 * seed), noise(200, 2 * seed + 1), seed=seed) for seed in range(3)]
    assert all(one.count == 200 and abs(one.accuracy - 0.5) < 4 * one.stderr for one in found)
    assert max(one.p_value for one in found) > 0.05


def test_images_of_another_distribution_are_detected():
    found = two_sample_test(noise(200, 0), noise(200, 1, low=60))
    assert found.accuracy > 0.95 and found.p_value < 1e-12


def test_both_sides_are_of_one_size_and_no_image_is_in_both_parts(monkeypatch):
    seen = {}

    def train(data, seed):
        seen["learned"] = data
        return None

    def stub_accuracy(classifier, data):
        seen["held out"] = data
        return 0.6

    monkeypatch.setattr(classifier_tests, "train_classifier", train)
    monkeypatch.setattr(classifier_tests, "accuracy", stub_accuracy)
    samples, real = noise(41, 0, high=128), noise(70, 1, low=128)
    found = two_sample_test(samples, real)
    learned, held_out = seen["learned"], seen["held out"]
    assert learned.label_counts.tolist() == [20, 20] and held_out.label_counts.tolist() == [21, 21]
    for part in (learned, held_out):
        assert torch.equal((part.images.flatten(1)[:, 0] >= 128).long(), part.labels)
    images = torch.cat([learned.images, held_out.images]).flatten(1)
    assert len(images.unique(dim=0)) == 82
    assert found.count == 42
    assert found.stderr == pytest.approx((0.6 * 0.4 / 42) ** 0.5)
    assert found.p_value == pytest.approx(stats.norm.sf(0.6, 0.5, (0.25 / 42) ** 0.5))
    two_sample_test(samples, real, seed=1)
    assert not torch.equal(seen["learned"].images, learned.images)


def test_two_samples_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match=r"float32 \(30, 1, 8, 8\)"):
        two_sample_test(noise(30, 0).float(), noise(30, 1))
    with pytest.raises(DataError, match=r"uint8 \(30, 1, 8, 8\).*uint8 \(30, 1, 8, 6\)"):
        two_sample_test(noise(30, 0), noise(30, 1)[..., :6])
    with pytest.raises(DataError, match=r"\b30\b.*\b19\b.*\b20\b"):
        two_sample_test(noise(30, 0), noise(19, 1))
