"""Animations: one palette, no loss for grey, right times, white that stays white."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.figures.animation import animate, gif_bytes
from fromnoise.figures.grid import grid


def frames_of(content):
    """Each frame as RGB, with its time in milliseconds."""
    image = Image.open(io.BytesIO(content))
    read = []
    for number in range(image.n_frames):
        image.seek(number)
        read.append((np.asarray(image.convert("RGB")), image.info["duration"]))
    return image, read


def colours_in(read):
    return len(set().union(*(np.unique(frame.astype(np.int64) @ [65536, 256, 1]).tolist() for frame, _ in read)))


def test_grey_frames_are_exact_timed_and_loop_for_ever(pictures):
    arrays = [pictures(4, seed=seed) for seed in range(3)]
    content = gif_bytes(arrays, seconds_per_frame=0.1, hold=2)
    image, read = frames_of(content)
    assert [time for _, time in read] == [100, 100, 2000]
    assert image.info["loop"] == 0
    for array, (frame, _) in zip(arrays, read, strict=True):
        assert (frame == np.asarray(grid(array, side=480).convert("RGB"))).all()


def test_coloured_frames_share_one_palette_and_keep_white_and_colours(pictures):
    pair = [grid(pictures(16, channels=3, height=8, width=8, seed=seed)) for seed in range(4)]
    content = gif_bytes(pair)
    _, read = frames_of(content)
    assert colours_in(read) <= 256
    for still, (frame, _) in zip(pair, read, strict=True):
        exact = np.asarray(still)
        assert (frame[(exact == 255).all(axis=-1)] == 255).all(), "the gutters are not white"
        assert np.abs(frame.astype(int) - exact).mean() < 16
    last = np.abs(read[-1][0].astype(int) - np.asarray(pair[-1])).mean()
    assert last < 10, "the frame that is held has the fewest colours of its own"


def test_a_still_part_does_not_flicker(pictures):
    still, moving = pictures(1, channels=3, height=16, width=16), []
    for seed in range(5):
        noise = pictures(1, channels=3, height=16, width=16, seed=seed + 1)
        moving.append(grid(np.concatenate([still, noise]), scale=4, gap=0))
    _, read = frames_of(gif_bytes(moving))
    left = [frame[:, :64] for frame, _ in read]
    assert all((frame == left[0]).all() for frame in left)


def test_animate_writes_a_whole_file(pictures, tmp_path):
    path = animate([pictures(2, seed=s) for s in range(2)], tmp_path / "new" / "a.gif")
    assert Image.open(path).n_frames == 2
    assert [file.name for file in path.parent.iterdir()] == ["a.gif"]
    (tmp_path / "b.gif").mkdir()
    with pytest.raises(WriteError):
        animate([pictures(2)], tmp_path / "b.gif")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b.gif", "new"]


@pytest.mark.parametrize(
    ("frames", "options", "named"),
    [
        ([], {}, "at least one"),
        ([(2, 4), (2, 9)], {}, r"\b2\b.*\(20, 17\).*\(20, 12\)"),
        ([(2, 4)], {"seconds_per_frame": 0}, r"\b0\b.*1\.5"),
        ([(2, 4)], {"hold": -1.0}, r"0\.08.*-1\.0"),
    ],
)
def test_what_cannot_move_is_refused(pictures, frames, options, named, tmp_path):
    made = [grid(pictures(n, height=side), scale=1) for n, side in frames]
    with pytest.raises(UsageError, match=named):
        animate(made, tmp_path / "a.gif", **options)
    with pytest.raises(UsageError, match=r"\.gif"):
        animate(made, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
