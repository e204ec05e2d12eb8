"""Figures of different protocols do not stand side by side, and the difference is named."""

import copy

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.protocol import comparable, measurement
from fromnoise.metrics.features import Features


@pytest.fixture
def protocol():
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    data = ArrayData("zeros", "train", images, None, ImageSpec(1, 4, 4))
    return measurement(100, data, None, Features("domain", "a classifier", 8, "recipe", "weights", lambda x: x))


def test_the_same_protocol_is_comparable(protocol):
    assert comparable(protocol, copy.deepcopy(protocol)) == []


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("count",), 200, "count.*100.*200"),
        (("features", "name"), "pixels", r"features\.name.*domain.*pixels"),
        (("features", "recipe_hash"), "other", r"features\.recipe_hash.*recipe.*other"),
        (("reference", "fingerprint"), "other", r"reference\.fingerprint.*other"),
        (("neighbours",), 3, "neighbours.*5.*3"),
        (("test",), {"count": 5}, r"test\.count.*None.*5"),
    ],
)
def test_another_protocol_is_refused_with_the_difference_named(protocol, path, value, named):
    other = copy.deepcopy(protocol)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UsageError, match=named):
        comparable(protocol, other)


def test_other_weights_of_the_same_recipe_are_noted(protocol):
    other = copy.deepcopy(protocol)
    other["features"]["weight_hash"] = "others"
    (note,) = comparable(protocol, other)
    assert "weights" in note and "others" in note
