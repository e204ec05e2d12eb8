"""Pictures of one kind cannot be told apart, others can; numbers and p value are those of the binomial."""

import pytest
import torch
from scipy import stats

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.metrics import classifier as room
from fromnoise.metrics import two_sample
from fromnoise.metrics.two_sample import two_sample_test


def noise(count, seed, low=0, high=256):
    return torch.randint(low, high, (count, 1, 8, 8), generator=generator(seed, "noise"), dtype=torch.uint8)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(room, "_LEAST_STEPS", 40)


def test_pictures_of_one_kind_cannot_be_told_apart():
    found = [two_sample_test(noise(200, 2 * seed), noise(200, 2 * seed + 1), seed=seed) for seed in range(3)]
    assert all(one.count == 200 and abs(one.accuracy - 0.5) < 4 * one.stderr for one in found)
    assert max(one.p_value for one in found) > 0.05


def test_other_pictures_can():
    found = two_sample_test(noise(200, 0), noise(200, 1, low=60))
    assert found.accuracy > 0.95 and found.p_value < 1e-12


def test_as_many_of_each_and_none_on_both_sides(monkeypatch):
    seen = {}

    def train(data, seed):
        seen["learned"] = data
        return None

    def judged(classifier, data):
        seen["held out"] = data
        return 0.6

    monkeypatch.setattr(two_sample, "train_classifier", train)
    monkeypatch.setattr(two_sample, "accuracy", judged)
    samples, real = noise(41, 0, high=128), noise(70, 1, low=128)
    found = two_sample_test(samples, real)
    learned, held_out = seen["learned"], seen["held out"]
    assert learned.label_counts.tolist() == [20, 20] and held_out.label_counts.tolist() == [21, 21]
    for part in (learned, held_out):
        assert torch.equal((part.images.flatten(1)[:, 0] >= 128).long(), part.labels)
    pictures = torch.cat([learned.images, held_out.images]).flatten(1)
    assert len(pictures.unique(dim=0)) == 82
    assert found.count == 42
    assert found.stderr == pytest.approx((0.6 * 0.4 / 42) ** 0.5)
    assert found.p_value == pytest.approx(stats.norm.sf(0.6, 0.5, (0.25 / 42) ** 0.5))
    two_sample_test(samples, real, seed=1)
    assert not torch.equal(seen["learned"].images, learned.images)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"float32 \(30, 1, 8, 8\)"):
        two_sample_test(noise(30, 0).float(), noise(30, 1))
    with pytest.raises(DataError, match=r"uint8 \(30, 1, 8, 8\).*uint8 \(30, 1, 8, 6\)"):
        two_sample_test(noise(30, 0), noise(30, 1)[..., :6])
    with pytest.raises(DataError, match=r"\b30\b.*\b19\b.*\b20\b"):
        two_sample_test(noise(30, 0), noise(19, 1))
