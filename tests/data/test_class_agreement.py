"""How often the nearest other image is of the same class."""

import pytest
import torch

from fromnoise.data import DataOptions, load
from fromnoise.data.class_agreement import agreement_of_classes
from fromnoise.data.mirror_gap import averaged_down


def test_digits_are_told_apart_by_a_look_and_noise_is_not():
    digits = load(DataOptions("digits"))
    assert digits.class_agreement > 0.95
    noise = torch.randint(0, 256, (1000, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    assert agreement_of_classes(averaged_down(noise), torch.arange(1000) % 10) == pytest.approx(0, abs=0.05)


def test_it_is_the_share_of_images_whose_nearest_other_is_of_their_class():
    images = torch.tensor([0, 1, 10, 12, 200], dtype=torch.uint8).view(5, 1, 1, 1)
    # The nearest others are 1, 0, 12, 10 and 12, of which three are of the same class; chance has 16 / 25 + 1 / 25.
    assert agreement_of_classes(averaged_down(images), torch.tensor([0, 0, 1, 0, 0])) == pytest.approx(
        (3 / 5 - 17 / 25) / (8 / 25)
    )


def test_it_takes_two_classes():
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    assert agreement_of_classes(averaged_down(images), None) is None
    assert agreement_of_classes(averaged_down(images[:1]), torch.tensor([0])) is None
    assert agreement_of_classes(averaged_down(images), torch.tensor([1, 1, 1])) is None
    assert agreement_of_classes(averaged_down(images[:2]), torch.tensor([0, 1])) == -1
