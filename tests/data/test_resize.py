"""One shape for all images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.data.resize import Resize, choose_resize, parse_resolution
from fromnoise.data.source import from_arrays
from fromnoise.settings import DataOptions


@pytest.mark.parametrize(("text", "size"), [("32", (32, 32)), ("48x64", (48, 64)), ("48X64", (48, 64))])
def test_resolutions_are_height_by_width(text: str, size: tuple[int, int]) -> None:
    assert parse_resolution(text) == size


@pytest.mark.parametrize("text", ["", "abc", "32x", "x", "1x2x3", "-4", "3.5", "2", "32x9999"])
def test_other_resolutions_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_resolution(text)
    assert f"'{text}'" in str(caught.value)


def test_the_region_is_centred_and_has_the_wanted_aspect() -> None:
    assert Resize(64, 64).region(100, 200) == (50, 0, 150, 100)
    assert Resize(64, 32).region(100, 200) == (75, 0, 125, 100)
    assert Resize(64, 64, crop=False).region(100, 200) == (0, 0, 200, 100)


def test_one_size_up_to_256_is_kept_without_a_word() -> None:
    assert choose_resize({(28, 30): 5}, DataOptions()) == (Resize(28, 30), ())
    assert choose_resize({(256, 256): 5}, DataOptions()) == (Resize(256, 256), ())


def test_larger_and_mixed_sizes_become_64_and_it_is_said() -> None:
    resize, notes = choose_resize({(300, 200): 5}, DataOptions())
    assert resize == Resize(64, 64)
    assert len(notes) == 1 and all(value in notes[0] for value in ("300x200", "64x64", "--resolution"))
    resize, notes = choose_resize({(20, 30): 2, (480, 640): 3}, DataOptions())
    assert resize == Resize(64, 64)
    assert "20x30" in notes[0] and "480x640" in notes[0]
    assert "2 images" in notes[1] and "20x30" in notes[1] and len(notes) == 2


def test_a_resolution_wins() -> None:
    resize, notes = choose_resize({(28, 28): 5}, DataOptions(resolution="32x48"))
    assert resize == Resize(32, 48) and len(notes) == 1 and "28x28" in notes[0] and "32x48" in notes[0]
    resize, notes = choose_resize({(28, 28): 5}, DataOptions(resolution="32x48", center_crop=False))
    assert not resize.crop and len(notes) == 1 and "28x28" in notes[0] and "32x48" in notes[0]


def test_cropping_keeps_the_middle_and_squeezing_keeps_all() -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 255
    assert (np.asarray(Resize(10, 10).apply(Image.fromarray(wide))) == 255).all()
    squeezed = np.asarray(Resize(10, 10, crop=False).apply(Image.fromarray(wide)))
    assert squeezed[:, 0].max() < 30 and squeezed[:, 5].min() > 200


def test_hidden_colours_do_not_bleed_when_an_image_shrinks() -> None:
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, ::2] = (255, 0, 0, 255)
    pixels[:, 1::2] = (0, 255, 0, 0)  # invisible green
    small = np.asarray(Resize(4, 4).apply(Image.fromarray(pixels)))
    assert small[..., 1].max() == 0 and small[..., 0].min() > 250


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_fitted_one_by_one(channels: int) -> None:
    images = np.full((3, 28, 28, channels), 200, dtype=np.uint8)
    images[..., 3:] = 255
    found = from_arrays(images, None, (), DataOptions(resolution="32", range="full"))
    assert found.images.shape == (3, 32, 32, channels) and (found.images[..., :3] == 200).all()
    assert any("32x32" in note for note in found.notes)
    same = from_arrays(images, None, (), DataOptions(range="full"))
    assert same.images is images and not any("28x28" in note for note in same.notes)
