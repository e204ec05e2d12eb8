"""Randomness is a function: the same arguments, the same numbers; any other, others."""

import torch

from fromnoise.common.seeds import generator, key


def test_same_arguments_same_numbers():
    first, again = (torch.randn(5, generator=generator(3, "noise", 7)) for _ in range(2))
    assert torch.equal(first, again)


def test_no_two_positions_share_a_stream():
    # Torch's CPU generator keeps 32 bits of a seed; by chance 60,000 draws of 32 bits would share some.
    low = {key(0, "sample", i) & 0xFFFFFFFF for i in range(60_000)}
    assert len(low) == 60_000


def test_purpose_seed_and_position_all_matter():
    keys = {key(s, p, *q) for s in (0, 1) for p in ("a", "b") for q in ((), (1,), (1, 2), (2, 1))}
    assert len(keys) == 16


def test_the_numbers_are_the_same_on_every_machine():
    assert key(0, "sample", 17) == 772234927148200443
