"""The running average of the weights against its closed form and the published powers."""

import pytest
import torch
from torch import nn

from fromnoise.train.ema import Ema, power_for


def test_the_average_has_its_closed_form():
    net = nn.Linear(1, 1, bias=False)
    ema = Ema(net, 0.1)
    expected = 0.0
    for step in range(1, 60):
        with torch.no_grad():
            net.weight.fill_(float(step))
        ema.update(step)
        keep = (1 - 1 / step) ** (ema.gamma + 1)
        expected = keep * expected + (1 - keep) * step
    assert ema.net.weight.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("length", "gamma"), [(0.05, 16.97), (0.1, 6.94)])
def test_the_power_of_a_length_is_the_published_one(length, gamma):
    """Karras et al. 2024a, section 3.1."""
    assert power_for(length) == pytest.approx(gamma, abs=0.01)
