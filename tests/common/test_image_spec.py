"""uint8 outside, float inside."""

import pytest
import torch

from fromnoise.common.image_spec import ImageSpec


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_encode_and_decode_are_inverse_on_every_grey(low):
    spec = ImageSpec(1, 16, 16, low=low)
    greys = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = spec.encode(greys)
    assert x.min() == low and x.max() == 1.0
    assert torch.equal(spec.decode(x), greys)
    assert torch.equal(greys.flatten(), torch.arange(256, dtype=torch.uint8))  # encoding leaves its input alone


def test_decode_clips():
    assert ImageSpec(1, 1, 2).decode(torch.tensor([[[[-7.0, 7.0]]]])).flatten().tolist() == [0, 255]


def test_json_and_words():
    spec = ImageSpec(3, 48, 64, ("cat", "dog"), 0.0)
    assert ImageSpec.from_json(spec.to_json()) == spec
    assert str(spec) == "48x64 RGB, 2 classes" and spec.null_label == 2
