"""Weightings against their published formulas, at numbers worked out by hand."""

import pytest
import torch

from fromnoise.diffusion.weighting import SNR, WEIGHTINGS, EDMWeighting, MinSNR, Sigmoid, TruncatedSNR, Unit

PUBLISHED = [
    (Unit(), [1.0, 1.0, 1.0]),
    (SNR(), [0.1, 1.0, 9.0]),
    (TruncatedSNR(), [1.0, 1.0, 9.0]),
    (MinSNR(), [0.1, 1.0, 5.0]),
    (MinSNR(gamma=0.5), [0.1, 0.5, 0.5]),
    (EDMWeighting(0.5), [4.1, 5.0, 13.0]),
    (Sigmoid(bias=0.0), [1 / 11, 0.5, 0.9]),
]


@pytest.mark.parametrize("weighting, expected", PUBLISHED, ids=repr)
def test_weights_are_the_published_ones(weighting, expected):
    snr = torch.tensor([0.1, 1.0, 9.0], dtype=torch.float64)
    torch.testing.assert_close(weighting(snr), torch.tensor(expected, dtype=torch.float64))


def test_every_weighting_stands_in_the_table():
    assert {type(weighting) for weighting, _ in PUBLISHED} == {type(weighting) for weighting in WEIGHTINGS.values()}
