"""Precision to coverage are those of the published package, also where float32 would cancel."""

from dataclasses import asdict

import pytest
import torch
from prdc import compute_prdc

from fromnoise.common.errors import DataError
from fromnoise.metrics import precision_recall as room
from fromnoise.metrics.precision_recall import precision_recall


def normal(count, dim, seed=0, scale=1.0, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=random, dtype=torch.float64) * scale + shift


def published(reference, samples, k):
    # prdc starts eight workers for each distance; the distances are the same without.
    found = compute_prdc(reference.double().numpy(), samples.double().numpy(), k)
    return {name: pytest.approx(float(value), abs=1e-12) for name, value in found.items()}


@pytest.mark.parametrize("values", [1 << 20, 500])
@pytest.mark.parametrize(
    ("counts", "dim", "k"), [((400, 300), 2, 5), ((300, 400), 20, 3), ((50, 500), 128, 1), ((200, 200), 8, 10)]
)
def test_it_equals_the_published_package(counts, dim, k, values, monkeypatch):
    monkeypatch.setattr(room, "_VALUES", values)
    reference, samples = normal(counts[0], dim, 1), normal(counts[1], dim, 2, scale=0.9, shift=0.2)
    assert asdict(precision_recall(reference, samples, k)) == published(reference, samples, k)


def test_float32_features_far_from_the_origin_do_not_cancel():
    reference, samples = (normal(300, 16, seed, scale=0.01).float() + 100 for seed in (1, 2))
    # Measured about the origin, this package would cancel too.
    expected = published(reference.double() - 100, samples.double() - 100, 5)
    assert asdict(precision_recall(reference, samples)) == expected
    shares = precision_recall(reference, samples)
    assert 0.5 < shares.precision < 1 and 0.5 < shares.coverage < 1


def test_an_image_is_not_its_own_neighbour():
    line = torch.arange(4.0)[:, None] ** 2  # 0, 1, 4, 9: to the nearest other 1, 1, 3, 5
    apart = torch.tensor([[0.5], [20.0], [14.5], [3.0]])
    found = precision_recall(line, apart, k=1)
    assert found.precision == 0.5  # 0.5 lies in the balls of 0 and 1, 3 in those of 4 and 9 only
    assert found.density == pytest.approx((2 + 0 + 0 + 1) / 4)
    assert found.coverage == 0.75


def test_copies_lie_on_rims_wherever_rounding_falls(monkeypatch):
    monkeypatch.setattr(room, "_VALUES", 3000)
    reference = normal(401, 131, 1, shift=3.0)
    shuffled = reference[torch.randperm(401, generator=torch.Generator().manual_seed(0))]
    found = precision_recall(reference, shuffled, k=5)
    assert found.precision == found.recall == found.coverage == 1
    assert found.density == pytest.approx(1.0, abs=1e-12)  # each ball holds itself and four: the fifth is its rim


def test_dropped_kinds_lower_recall_and_foreign_ones_precision():
    real = torch.cat([normal(200, 8, 1), normal(200, 8, 2, shift=20.0)])
    one_kind, foreign = normal(400, 8, 3), torch.cat([normal(200, 8, 4), normal(200, 8, 5, shift=-20.0)])
    dropped = precision_recall(real, one_kind)
    assert dropped.precision > 0.7 and dropped.recall < 0.5 and dropped.coverage <= 0.5
    assert precision_recall(real, foreign).precision < 0.5


def test_identical_images_have_empty_balls():
    reference = torch.ones(10, 3)
    assert asdict(precision_recall(reference, reference)) == dict.fromkeys(
        ("precision", "recall", "density", "coverage"), 0.0
    )


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"\b5\b.*at least 6"):
        precision_recall(normal(5, 2), normal(9, 2))
    with pytest.raises(DataError, match=r"\b3\b.*at least 4"):
        precision_recall(normal(9, 2), normal(3, 2), k=3)
    with pytest.raises(DataError, match=r"\b2\b.*\b3\b"):
        precision_recall(normal(9, 2), normal(9, 3))
