"""The grid: every pixel enlarged by a whole number, even gutters, sensible sizes, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.figures.grid import grid, save
from fromnoise.figures.scaling import best_scale, tiles


def test_every_pixel_becomes_a_square_at_its_place(pictures):
    images = pictures(6)
    drawn = np.asarray(grid(images, columns=3, scale=2, gap=5))
    assert drawn.shape == (5 + 2 * (8 + 5), 5 + 3 * (8 + 5))
    white = np.ones_like(drawn, dtype=bool)
    for i, image in enumerate(images):
        y, x = 5 + i // 3 * 13, 5 + i % 3 * 13
        assert (drawn[y : y + 8, x : x + 8] == image[:, :, 0].repeat(2, 0).repeat(2, 1)).all()
        white[y : y + 8, x : x + 8] = False
    assert (drawn[white] == 255).all()


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (3, 3), (8, 8), (9, 3), (10, 5), (16, 4), (20, 5), (32, 8), (64, 8), (13, 4)]
)
def test_columns_are_found_from_the_count(pictures, count, columns):
    drawn = grid(pictures(count), scale=1, gap=0)
    assert drawn.size == (4 * columns, 4 * -(-count // columns))


@pytest.mark.parametrize(("height", "width"), [(28, 28), (16, 16), (32, 32), (48, 64), (8, 8)])
def test_64_pictures_fill_600_to_900_pixels(pictures, height, width):
    drawn = grid(pictures(64, height=height, width=width))
    assert 560 <= max(drawn.size) <= 900


def test_large_pictures_are_shrunk_by_means():
    assert best_scale(lambda s: 4096 * s, 512, largest_tile=256, target=740) == pytest.approx(1 / 3)
    halves = np.zeros((1, 4, 4, 1), np.uint8)
    halves[0, ::2] = 200
    (small,) = tiles(halves, 0.5, mode="L")
    assert np.asarray(small).tolist() == [[100, 100], [100, 100]]


def test_invert_turns_grey_around_and_refuses_colour(pictures):
    images = pictures(4)
    plain, turned = (np.asarray(grid(images, scale=1, gap=0, invert=way)) for way in (False, True))
    assert (turned == 255 - plain).all()
    with pytest.raises(UsageError, match="invert=False"):
        grid(pictures(4, channels=3), invert=True)


def test_colours_stay_and_grey_stays_grey(pictures):
    colour = pictures(2, channels=3)
    drawn = grid(colour, scale=1, gap=0)
    assert drawn.mode == "RGB"
    assert (np.asarray(drawn)[:, :4] == colour[0]).all()
    assert grid(pictures(2)).mode == "L"


def test_transparency_shows_a_checkerboard_and_opaque_pixels_do_not_change(pictures):
    images = pictures(1, channels=4, height=40, width=40)
    images[..., 3] = 255
    assert (np.asarray(grid(images, scale=1, gap=0)) == images[0, :, :, :3]).all()
    images[..., 3] = 0
    shades = np.unique(np.asarray(grid(images, scale=1, gap=0)))
    assert len(shades) == 2 and shades.max() == 255 and shades.min() > 200


def test_captions_are_written_below_and_shortened(pictures):
    images = pictures(2, height=28, width=28)
    bare, named = grid(images, scale=3), grid(images, scale=3, captions=["a", "a name much longer than its picture"])
    assert named.width == bare.width and named.height > bare.height
    strip = np.asarray(named)[bare.height - 6 :]
    assert (strip < 128).any()
    middle = named.width // 2
    assert (strip[:, middle - 2 : middle + 2] == 255).all(), "a caption ran into its neighbour's"


@pytest.mark.parametrize("name", ["tab\tand\nline", "\udcff odd bytes", "", "数字"])
def test_any_caption_can_be_drawn(pictures, name):
    assert grid(pictures(1, height=28, width=28), captions=[name]).size[0] > 0


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), "float32"),
        (np.zeros((2, 1, 4, 4), np.uint8)[:, :, :, :2], "C of 1, 3 or 4"),
        (np.zeros((4, 4, 1), np.uint8), "(4, 4, 1)"),
        (np.zeros((0, 4, 4, 1), np.uint8), "(0, 4, 4, 1)"),
        ([1, 2], "list"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(bad, told):
    with pytest.raises(UsageError) as caught:
        grid(bad)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"scale": 0}, r"scale.*\b0\b"),
        ({"scale": 1.5}, r"scale.*1\.5"),
        ({"columns": 0}, r"columns.*\b0\b"),
        ({"captions": ["one"]}, r"\b1 captions.*\b3\b"),
    ],
)
def test_impossible_options_are_refused(pictures, options, named):
    with pytest.raises(UsageError, match=named):
        grid(pictures(3), **options)


def test_save_makes_folders_and_leaves_nothing_else(pictures, tmp_path):
    picture = grid(pictures(4))
    path = save(picture, tmp_path / "a" / "b" / "figure.png")
    assert (np.asarray(Image.open(path)) == np.asarray(picture)).all()
    assert [file.name for file in path.parent.iterdir()] == ["figure.png"]


def test_save_refuses_other_formats(pictures, tmp_path):
    with pytest.raises(UsageError, match=r"\.png"):
        save(grid(pictures(1)), tmp_path / "figure.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence_and_leaves_nothing(pictures, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(WriteError, match=r"figure\.png"):
        save(grid(pictures(1)), blocked / "figure.png")
    folder = tmp_path / "taken.png"
    folder.mkdir()
    with pytest.raises(WriteError, match=r"taken\.png"):
        save(grid(pictures(1)), folder)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "taken.png"]
    assert blocked.read_text() == "not a folder"
