"""Labels of samples: the training set's frequencies, from each seed alone, and from a stream of their own."""

import torch

from fromnoise.common.seeds import generator
from fromnoise.model.labels import draw_labels


def test_labels_have_the_training_sets_frequencies():
    labels = draw_labels(range(2000), [100, 300, 0, 600])
    shares = labels.bincount(minlength=4) / 2000
    # Four standard deviations of a share of 2,000 draws are at most 0.045.
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.3, 0.0, 0.6]), rtol=0, atol=0.045)


def test_a_label_follows_from_its_seed_alone():
    assert draw_labels([7], [1] * 10) == draw_labels([3, 7], [1] * 10)[1]


def test_labels_do_not_share_the_stream_of_the_starting_noise():
    even = torch.ones(10, dtype=torch.float64)
    shared = torch.cat([torch.multinomial(even, 1, generator=generator(0, "sample", seed)) for seed in range(100)])
    agree = (draw_labels(range(100), [1] * 10) == shared).double().mean()
    assert agree < 0.3, "a tenth agree by chance"
