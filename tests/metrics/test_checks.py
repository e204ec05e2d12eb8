"""Features that nothing can be measured by are refused in one sentence; pieces cover all."""

import re

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.metrics.checks import alike, checked, parts


def test_good_features_pass_as_they_are():
    features = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    passed = checked(features, 5)
    assert torch.equal(passed, features) and passed.dtype == torch.float64 and not passed.requires_grad


@pytest.mark.parametrize("features", [torch.zeros(3), torch.zeros(3, 2, dtype=torch.uint8), torch.zeros(3, 0)])
def test_other_shapes_and_kinds_are_refused(features):
    with pytest.raises(DataError, match=rf"{re.escape(str(tuple(features.shape)))}.*\(N, d\)"):
        checked(features, 1)


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match=r"\b4\b.*at least 5"):
        checked(torch.zeros(4, 2), 5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_not_finite_is_found_in_the_last_piece(value):
    features = torch.zeros(9000, 2)
    features[-1, 1] = value
    with pytest.raises(DataError, match="finite"):
        checked(features, 1)


def test_unlike_dimensions_are_refused():
    alike(3, 3)
    with pytest.raises(DataError, match=r"\b3\b.*\b4\b"):
        alike(3, 4)


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (0, 4), (3, 0)])
def test_parts_cover_all_once(count, size):
    pieces = list(parts(count, size))
    assert [number for part in pieces for number in range(count)[part]] == list(range(count))
    assert all(part.stop - part.start <= max(1, size) for part in pieces)
