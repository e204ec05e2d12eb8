"""Images that are in a set more than once."""

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.data import DataOptions
from fromnoise.data.inspection import inspect
from fromnoise.data.repeats import distinct


def noise(count):
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_repeats_exact_and_mirrored():
    a = noise(5)
    images = torch.cat([a, a[:2], a[2:3].flip(3), a[2:3].flip(2)])
    assert distinct(images).tolist() == [0, 1, 2, 3, 4, 7, 8]
    assert distinct(images, mirrored=True).tolist() == [0, 1, 2, 3, 4, 8], "upside down is another image"


@pytest.mark.parametrize("copied, found", [([], None), ([0, 0], ["2 images repeat", "3 of 5"])])
def test_inspection_counts_them(tmp_path, copied, found):
    for number, image in enumerate(torch.cat([noise(3), noise(3)[copied]])):
        Image.fromarray(np.asarray(image[0])).save(tmp_path / f"{number}.png")
    said = [note for note in inspect(DataOptions(source=str(tmp_path))).notes if "repeat" in note]
    assert bool(said) == bool(found) and all(words in said[0] for words in found or [])
