"""Titled rows and the table of steps: pictures at their places, words beside them, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from fromnoise.common.errors import UsageError
from fromnoise.figures.image_rows import rows, two_columns


def found(drawn, image, scale):
    """How often `image` (H, W, C), enlarged, occurs in the figure; and the corner where it is first found."""
    array = np.asarray(drawn)
    tile = np.squeeze(image).repeat(scale, 0).repeat(scale, 1)
    windows = np.lib.stride_tricks.sliding_window_view(array, tile.shape)
    places = np.argwhere((windows == tile).all(axis=(-1, -2)))
    return [tuple(int(v) for v in place) for place in places]


def test_rows_share_columns_and_hold_every_picture(pictures):
    above, below = pictures(3, seed=1), pictures(3, seed=2)
    drawn = rows([("Input data", above), ("Corrupted data (-- amount increases -->)", below)], scale=5)
    spots = [[found(drawn, image, 5) for image in row] for row in (above, below)]
    assert all(len(spot) == 1 for row in spots for spot in row)
    tops = [{spot[0][0] for spot in row} for row in spots]
    lefts = [[spot[0][1] for spot in row] for row in spots]
    assert len(tops[0]) == len(tops[1]) == 1 and lefts[0] == lefts[1] == sorted(lefts[0])


def test_a_title_is_drawn_whole_even_over_narrow_rows(pictures):
    title = "Corrupted data (-- amount increases -->)"
    narrow = rows([(title, pictures(1))], scale=4)
    assert narrow.width > 250
    assert (np.asarray(narrow)[:, -8:] == 255).all()


def test_an_untitled_row_follows_closely(pictures):
    images = pictures(2)
    pair = rows([("made", images), ("", images)], scale=8)
    apart = rows([("made", images), ("nearest", images)], scale=8)
    assert pair.height < apart.height
    assert (np.asarray(pair)[-14:] == 255).all()


def test_titles_beside_leave_the_height_to_the_pictures(pictures):
    images = pictures(4, height=28, width=28)
    titled = [(f"seed {i}", images) for i in range(5)]
    above, beside = rows(titled, scale=2), rows(titled, scale=2, beside=True)
    assert beside.height < above.height and beside.width > above.width


def test_column_titles_appear_above_the_first_row(pictures):
    images = pictures(3, height=28, width=28)
    bare, headed = rows([("x", images)], scale=3), rows([("x", images)], ["t = 1", "t = 2", "t = 3"], scale=3)
    (y, x), *_ = found(headed, images[0], 3)
    assert headed.height > bare.height
    assert (np.asarray(headed)[y - 14 : y, x : x + 84] < 128).any()


def test_width_is_found_and_grey_is_turned(pictures):
    images = pictures(8, height=28, width=28)
    drawn = rows([("Input data", images)], invert=True)
    assert 600 <= drawn.width <= 900
    assert len(found(drawn, 255 - images[0], 3)) == 1


@pytest.mark.parametrize("case", ["none", "count", "size", "headings", "kind"])
def test_rows_that_do_not_match_are_refused(pictures, case):
    images = pictures(3)
    titled, named = {
        "none": ([], "at least one"),
        "count": ([("a", images), ("b", pictures(4))], r"'b'.*\(4, 4, 4\).*\(3, 4, 4\)"),
        "size": ([("a", images), ("b", pictures(3, height=5))], r"'b'.*\(3, 5, 4\).*\(3, 4, 4\)"),
        "headings": ([("a", images)], r"\b1\b.*\b3\b"),
        "kind": ([("a", images.astype(float))], r"'a'.*float64.*uint8"),
    }[case]
    with pytest.raises(UsageError, match=named):
        rows(titled, ["only one"] if case == "headings" else None)


def test_steps_stand_side_by_side_in_order(pictures):
    left, right = ([pictures(2, seed=10 * side + i) for i in range(3)] for side in (0, 1))
    drawn = two_columns(left, right, scale=6)
    places = [[found(drawn, images[0], 6)[0] for images in column] for column in (left, right)]
    assert [y for y, _ in places[0]] == [y for y, _ in places[1]] == sorted(y for y, _ in places[0])
    assert {x for _, x in places[0]} != {x for _, x in places[1]}
    assert max(x for _, x in places[0]) < min(x for _, x in places[1])


def test_steps_of_eight_digits_fit_a_page(pictures):
    strips = [pictures(8, height=28, width=28, seed=i) for i in range(5)]
    assert 800 <= two_columns(strips, strips).width <= 1060


def test_steps_that_do_not_match_are_refused(pictures):
    strips = [pictures(2), pictures(2)]
    for left, right, named in (
        (strips, strips[:1], r"\b2\b.*\b1\b"),
        ([], [], r"\b0\b.*\b0\b"),
        (strips, [pictures(2), pictures(3)], r"\(3, 4, 4\).*\(2, 4, 4\)"),
    ):
        with pytest.raises(UsageError, match=named):
            two_columns(left, right)
