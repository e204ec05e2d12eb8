"""Which averages there are, and that each takes in the weights."""

import pytest
import torch
from torch import nn

from fromnoise.settings import TrainOptions
from fromnoise.train.averages import POSTHOC_LENGTHS, Averages
from fromnoise.train.ema import Ema


@pytest.mark.parametrize(
    ("options", "posthoc", "others"),
    [
        ({"ema_length": 0.1}, [0.05, 0.1], [0.05]),
        ({"ema_length": 0.2}, [0.05, 0.1], [0.05, 0.1]),
        ({"posthoc_ema": False}, [], []),
        ({"use_ema": False}, [], []),
    ],
)
def test_options_choose_the_averages(options, posthoc, others):
    averages = Averages(nn.Linear(1, 1), TrainOptions(**options))
    assert list(averages.posthoc) == posthoc and list(averages.others) == others
    assert (averages.ema is None) == (not options.get("use_ema", True))


def test_every_average_is_updated_once_a_step():
    net = nn.Linear(1, 1, bias=False)
    averages = Averages(net, TrainOptions(ema_length=0.1))
    direct = {length: Ema(net, length) for length in POSTHOC_LENGTHS}
    for step in range(1, 20):
        with torch.no_grad():
            net.weight.fill_(float(step))
        averages.update(step)
        for average in direct.values():
            average.update(step)
    assert averages.posthoc[0.1] is averages.ema
    for length, average in direct.items():
        assert torch.equal(averages.posthoc[length].net.weight, average.net.weight)
