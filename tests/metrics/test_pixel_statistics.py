"""Means, spreads and the distance of histograms are those of numpy and scipy on the pixels themselves."""

import pytest
import torch
from scipy.stats import wasserstein_distance

from fromnoise.common.errors import DataError
from fromnoise.metrics import pixel_statistics as room
from fromnoise.metrics.pixel_statistics import pixel_statistics


def noise(*shape, seed=0, low=0, high=256):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("values", [1 << 20, 200])
def test_it_equals_numpy_and_scipy(values, monkeypatch):
    monkeypatch.setattr(room, "_VALUES", values)
    samples = torch.cat([noise(9, 1, 8, 8, low=100), noise(9, 2, 8, 8, high=50)], dim=1)
    reference = noise(14, 3, 6, 7, seed=1)
    found = pixel_statistics(samples, reference)
    pixels, others = (x.transpose(0, 1).flatten(1).double().numpy() for x in (samples, reference))
    assert found.mean == pytest.approx(pixels.mean(1)) and found.std == pytest.approx(pixels.std(1))
    assert found.reference_mean == pytest.approx(others.mean(1)) and found.reference_std == pytest.approx(others.std(1))
    expected = [wasserstein_distance(a, b) for a, b in zip(pixels, others)]
    assert found.histogram_distance == pytest.approx(sum(expected) / 3, rel=1e-12)


def test_a_brighter_background_is_as_many_grey_levels_off():
    reference = noise(20, 1, 8, 8, high=200)
    assert pixel_statistics(reference, reference).histogram_distance == 0
    assert pixel_statistics(reference + 7, reference).histogram_distance == pytest.approx(7, rel=1e-12)
    assert pixel_statistics(255 - torch.zeros_like(reference), torch.zeros_like(reference)).histogram_distance == 255


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"\b1\b.*\b3\b"):
        pixel_statistics(noise(2, 1, 4, 4), noise(2, 3, 4, 4))
    with pytest.raises(DataError, match="float32"):
        pixel_statistics(torch.zeros(2, 1, 4, 4), noise(2, 1, 4, 4))
    with pytest.raises(DataError, match=r"\(0, 1, 4, 4\)"):
        pixel_statistics(noise(0, 1, 4, 4), noise(2, 1, 4, 4))
