"""Weights in one row of memory: the same values and layouts, reached by one operation; elsewhere there is no row."""

import copy

import torch
from torch import nn

from fromnoise.train.row import lay_in_row, rows_of


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 5)).to(memory_format=torch.channels_last)


def test_laying_weights_in_a_row_changes_neither_values_nor_layouts():
    net, before = network(), network()
    lay_in_row(net)
    for mine, theirs in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(mine, theirs) and mine.stride() == theirs.stride() and mine.requires_grad


def test_what_is_done_to_a_row_is_done_to_each_weight():
    net, other = network(), network()
    for one in (net, other):
        lay_in_row(one)
    with torch.no_grad():
        other[0].weight.add_(1)
    rows = rows_of(list(net.parameters()), list(other.parameters()))
    assert rows and all(len(row) == sum(weight.numel() for weight in net.parameters()) for row in rows)
    rows[0].lerp_(rows[1], 0.5)
    expected = network()
    with torch.no_grad():
        expected[0].weight.add_(0.5)
    for mine, wanted in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(mine, wanted)


def test_there_is_no_row_of_scattered_or_unlike_weights():
    net = network()
    lay_in_row(net)
    laid = list(net.parameters())
    assert rows_of(laid) and rows_of(laid[1:]) and rows_of([]) is None
    assert rows_of(laid, list(network().parameters())) is None, "as they were made, each in memory of its own"
    assert rows_of([laid[0], laid[2]]) is None and rows_of(laid[::-1]) is None
    copied = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    lay_in_row(copied)
    assert rows_of(laid, list(copied.parameters())) is None, "their values lie in another order"
