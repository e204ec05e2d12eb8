"""Whether mirrored images are as near to the others as the images themselves."""

import pytest
import torch

from fromnoise.data import DataOptions, load
from fromnoise.data import mirror_gap as module
from fromnoise.data.mirror_gap import averaged_down, gap_of_mirrored


def test_letters_have_a_side_and_textures_have_none():
    digits = load(DataOptions("digits"))
    grey = (225 - 0.7 * digits.images[:].float()).byte()
    noise = torch.randint(0, 256, (400, 3, 20, 20), generator=torch.Generator().manual_seed(0)).byte()
    assert digits.mirror_gap > 0.4 and gap_of_mirrored(averaged_down(grey), digits.labels) > 0.4
    assert abs(gap_of_mirrored(averaged_down(noise), None)) < 0.02


def test_it_is_the_ratio_of_mean_distances():
    images = torch.tensor([[0, 9], [0, 6], [3, 9], [9, 0]], dtype=torch.uint8).view(4, 1, 1, 2)
    # Of the three images of class 0 each is 3 from its nearest. Mirrored, (9, 0) is sqrt(117) from both others, (6, 0)
    # sqrt(90) from (3, 9), and (9, 3) sqrt(90) from (0, 6). The fourth, alone in its class, is left out.
    labels = torch.tensor([0, 0, 0, 1])
    assert gap_of_mirrored(averaged_down(images), labels) == pytest.approx((117**0.5 + 2 * 90**0.5) / 9 - 1)


def test_a_class_of_one_image_and_images_that_are_alike_have_none():
    images = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2)
    assert gap_of_mirrored(averaged_down(images), torch.tensor([0, 1])) is None
    assert gap_of_mirrored(averaged_down(torch.zeros(5, 1, 4, 4, dtype=torch.uint8)), None) is None


def test_the_last_images_count_as_much_as_the_first(monkeypatch):
    """Textures come first, as the classes of a folder do, and then images whose left half is light."""
    monkeypatch.setattr(module, "_OTHERS", 80)
    monkeypatch.setattr(module, "_IMAGES", 30)
    images = torch.randint(80, 140, (159, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    assert abs(gap_of_mirrored(averaged_down(images), None)) < 0.1
    images[80:, :, :, :4] += 100
    assert gap_of_mirrored(averaged_down(images), None) > 0.5
