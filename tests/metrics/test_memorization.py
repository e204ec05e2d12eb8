"""Planted copies and duplicates are found, fresh images are not; the rank score is scipy's."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import mannwhitneyu

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.data.mapped import map_pixels
from fromnoise.data.rows import Rows
from fromnoise.metrics.memorization import (
    baseline_for_count,
    measure_baseline,
    memorization,
    rank_z,
    rate_by_chance,
)
from fromnoise.metrics.nearest_neighbours import nearest_features

COUNT = 500


def noise(count, seed, high=256):
    return torch.randint(0, high, (count, 1, 6, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def data_of(images, split="train"):
    return ArrayData("noise", split, images, None, ImageSpec(*images.shape[1:]))


def features(images):
    """Invariant to brightness: where the image is brighter than its mean, and by how much for its spread."""
    flat = images.flatten(1).float()
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.std(1, keepdim=True)


TRAIN, TEST = data_of(noise(2000, 1)), data_of(noise(1000, 2), "test")
TRAIN_FEATURES, TEST_FEATURES = features(TRAIN.images), features(TEST.images)


@pytest.fixture(scope="module")
def baseline():
    return measure_baseline(TRAIN, TRAIN_FEATURES, TEST, TEST_FEATURES, count=COUNT)


def measured(samples, baseline):
    return memorization(samples, TRAIN, features(samples), TRAIN_FEATURES, baseline)


def plain(images, others):
    return torch.cdist(images.flatten(1).double(), others.flatten(1).double()) / 6


def test_fresh_images_are_neither_copies_nor_duplicates(baseline):
    found = measured(noise(COUNT, 3), baseline)
    assert found.copy_rate <= 0.01 and found.copy_rate_features <= 0.01 and found.duplicate_rate <= 0.01
    assert (
        found.test_rate == 0.001 and found.test_rate_features == 0.001
    )  # one image of 1,000 lies below no threshold but 0
    assert abs(found.z) < 3


def test_baseline_is_what_a_plain_search_finds(baseline):
    distances = plain(TEST.images, TRAIN.images).amin(1).sort().values
    torch.testing.assert_close(baseline.distances.double(), distances, rtol=1e-5, atol=0)
    assert baseline.copy_below == pytest.approx(float(distances[1]), rel=1e-5)
    assert baseline.copy_below_features < baseline.copy_below and baseline.count == COUNT
    assert baseline.duplicate_below > 0


def test_the_baseline_of_images_in_a_file_reads_few_at_a_time(baseline, tmp_path, monkeypatch):
    stored, read, whole = [], [], Rows.__getitem__
    for data in (TRAIN, TEST):
        (tmp_path / data.split).write_bytes(data.images.numpy().tobytes())
        stored.append(replace(data, images=Rows(map_pixels(tmp_path / data.split, data.images.shape))))
    monkeypatch.setattr(Rows, "__getitem__", lambda self, key: read.append(whole(self, key)) or read[-1])
    monkeypatch.setattr("fromnoise.metrics.nearest_neighbours._VALUES", 100 * 36)
    monkeypatch.setattr("fromnoise.metrics.nearest_neighbours._HELD", 1)
    train, test = stored
    found = measure_baseline(train, TRAIN_FEATURES, test, TEST_FEATURES, count=COUNT)
    assert max(map(len, read)) <= 100
    assert replace(found, distances=baseline.distances) == baseline and torch.equal(found.distances, baseline.distances)


def test_planted_copies_are_counted_and_named(baseline):
    samples = noise(COUNT, 3)
    chosen = torch.arange(100) * 20
    samples[:100] = TRAIN.images[chosen]
    samples[50:100] = (samples[50:100].int() + noise(50, 4, high=9).int()).clamp(max=255).byte()
    found = measured(samples, baseline)
    assert 0.2 <= found.copy_rate <= 0.21 and 0.2 <= found.copy_rate_features <= 0.21
    assert found.z < -5
    assert torch.equal(found.indices[:100], chosen) and (found.distances[:50] == 0).all()
    assert found.distances[50:100].min() > 0 and found.distances[50:100].max() < 9
    assert found.distances.shape == (COUNT,) and found.distances.dtype == torch.float32


def test_a_faded_copy_shows_in_features(baseline):
    samples = noise(COUNT, 3)
    samples[:50] = TRAIN.images[:50] // 8
    found = measured(samples, baseline)
    assert found.copy_rate_features == pytest.approx(0.105, abs=0.005) and found.copy_rate <= 0.01


def test_a_third_of_the_second_distance_makes_a_copy_even_above_the_bar(baseline):
    strict = replace(baseline, copy_below=0.0, copy_below_features=0.0)
    samples = noise(COUNT, 3)
    samples[:10] = TRAIN.images[:10] ^ 8  # 8 grey levels off, the second nearest some 70
    assert measured(samples, strict).copy_rate == 10 / COUNT
    crowded = data_of(torch.cat([TRAIN.images, TRAIN.images[:10] ^ 16]))
    second = memorization(samples, crowded, features(samples), features(crowded.images), strict)
    assert second.copy_rate == 0  # with identical images in the data the rule of one third never applies
    usual = memorization(samples, crowded, features(samples), features(crowded.images), baseline)
    assert 10 / COUNT <= usual.copy_rate <= 12 / COUNT  # but the threshold does


def test_identical_images_are_copies_where_the_test_images_are_too():
    twice = data_of(torch.cat([TRAIN.images, TRAIN.images[:300]]))
    both = features(twice.images)
    found = measure_baseline(twice, both, data_of(TRAIN.images[:200]), both[:200], count=100)
    assert found.copy_below == 0 and found.test_rate == 1
    samples = torch.cat([TRAIN.images[:10], noise(90, 5)])
    assert memorization(samples, twice, features(samples), both, found).copy_rate == 0.1


def test_duplicates_are_counted(baseline):
    samples = noise(COUNT, 3)
    samples[:30] = samples[30:60]
    samples[100:110] = samples[110:120] ^ 1
    assert measured(samples, baseline).duplicate_rate == pytest.approx(80 / COUNT, abs=0.005)
    same = noise(1, 7).expand(COUNT, -1, -1, -1)
    assert measured(same, baseline).duplicate_rate == 1
    assert measured(same, replace(baseline, duplicate_below=0.0)).duplicate_rate == 1


def test_of_many_samples_those_searched_for_duplicates_are_chosen_at_random():
    samples = torch.cat([noise(2000, 8), noise(1, 9).expand(2000, -1, -1, -1)])  # sorted, as files are by class
    whole = measure_baseline(TRAIN, TRAIN_FEATURES, None, None, count=4000)
    assert measured(samples, whole).duplicate_rate == pytest.approx(0.5, abs=0.05)


def test_duplicates_are_held_against_equally_many_training_images(baseline):
    few = measure_baseline(TRAIN, TRAIN_FEATURES, None, None, count=50)
    assert few.count == 50 and few.duplicate_below > baseline.duplicate_below  # fewer images lie farther apart
    again = baseline_for_count(baseline, TRAIN, 50)
    assert (again.count, again.duplicate_below, again.copy_below) == (50, few.duplicate_below, baseline.copy_below)
    assert baseline_for_count(baseline, TRAIN, COUNT) is baseline
    chosen = measure_baseline(TRAIN, TRAIN_FEATURES, None, None, count=5000)
    among = plain(TRAIN.images, TRAIN.images).fill_diagonal_(float("inf")).amin(1).sort().values
    assert chosen.count == 2000 and chosen.duplicate_below == pytest.approx(float(among[2]), rel=1e-5)


def test_without_test_images_only_duplicates_are_counted():
    alone = measure_baseline(TRAIN, TRAIN_FEATURES, None, None, count=COUNT)
    found = measured(TRAIN.images[:COUNT].clone(), alone)
    rates = (found.copy_rate, found.test_rate, found.copy_rate_features, found.test_rate_features, found.z)
    assert rates == (None,) * 5 and found.duplicate_rate < 0.01 and (found.distances == 0).all()


def test_one_sample_has_no_duplicate():
    single = measure_baseline(TRAIN, TRAIN_FEATURES, TEST, TEST_FEATURES, count=1)
    assert measured(noise(1, 3), single).duplicate_rate == 0


@pytest.mark.parametrize("high", [5, 1000])
def test_rank_score_is_that_of_scipy(high):
    random = torch.Generator().manual_seed(high)
    first = torch.randint(0, high, (80,), generator=random).float()
    second = torch.randint(1, high + 1, (50,), generator=random).float()
    below = mannwhitneyu(first, second, alternative="less", method="asymptotic", use_continuity=False)
    found = rank_z(first, second)
    assert torch.special.ndtr(torch.tensor(found).double()) == pytest.approx(below.pvalue, rel=1e-6)
    assert rank_z(second, first) == pytest.approx(-found)
    assert rank_z(first, first + high) < -8 and rank_z(torch.ones(3), torch.ones(4)) == 0


def test_what_does_not_belong_together_is_refused(baseline):
    samples = noise(COUNT, 3)
    with pytest.raises(DataError, match=r"\b499\b.*\b500\b"):
        measured(samples[1:], baseline)
    with pytest.raises(DataError, match=r"\b500\b.*\b10\b"):
        memorization(samples, TRAIN, features(samples)[:10], TRAIN_FEATURES, baseline)
    with pytest.raises(DataError, match=r"\b2000\b.*\b10\b"):
        memorization(samples, TRAIN, features(samples), TRAIN_FEATURES[:10], baseline)
    with pytest.raises(DataError, match=r"\b1000\b.*\b2000\b"):
        measure_baseline(TRAIN, TRAIN_FEATURES, TEST, TRAIN_FEATURES, count=COUNT)
    with pytest.raises(DataError, match=r"\b0\b.*at least 1"):
        memorization(samples[:0], TRAIN, TRAIN_FEATURES[:0], TRAIN_FEATURES, replace(baseline, count=0))
    with pytest.raises(DataError, match=r"\b2\b.*\b1 to 1\b"):
        measure_baseline(data_of(noise(1, 1)), TRAIN_FEATURES[:1], TEST, TEST_FEATURES, count=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [7, 8192])
def test_nearest_features_equal_a_plain_search(chunk, dtype):
    random = torch.Generator().manual_seed(0)
    others, rows = (torch.randn(count, 16, generator=random).to(dtype) * 0.1 + 50 for count in (300, 40))
    rows[3] = others[7]
    distances, indices = nearest_features(rows, others, k=3, chunk=chunk)
    expected = (rows.double()[:, None] - others.double()).square().mean(2).sqrt().sort(1)
    assert torch.equal(indices, expected.indices[:, :3]) and distances[3, 0] == 0 and indices[3, 0] == 7
    torch.testing.assert_close(distances.double(), expected.values[:, :3], rtol=1e-5, atol=0)


def test_nearest_features_refuse_other_spaces():
    with pytest.raises(DataError, match=r"\b16\b.*\b8\b"):
        nearest_features(torch.zeros(3, 16), torch.zeros(3, 8))
    with pytest.raises(DataError, match="finite"):
        nearest_features(torch.full((3, 8), float("nan")), torch.zeros(3, 8))
    with pytest.raises(DataError, match=r"\b4\b.*\b1 to 3\b"):
        nearest_features(torch.zeros(3, 8), torch.zeros(3, 8), k=4)


@pytest.mark.parametrize("held", [10, 50, 1000])
def test_the_rate_by_chance_is_exceeded_once_in_100_times(held):
    """Of uniform distances, the share below the least of so many is that least one itself."""
    least = torch.rand(4000, held, generator=torch.Generator().manual_seed(0)).amin(1)
    assert float((least > rate_by_chance(held)).double().mean()) == pytest.approx(0.01, abs=0.005)
