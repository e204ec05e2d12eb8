"""Frames that move: a GIF with one palette for all of it, so that nothing flickers."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.figures.grid import grid
from fromnoise.figures.palette import indexed
from fromnoise.figures.scaling import Images

_SHORTEST = 0.02  # seconds: viewers slow shorter frames down to 0.1
_SIDE = 480  # smaller than a still: noise does not compress


def animate(
    frames: Sequence[Image.Image | Images],
    path: str | os.PathLike[str],
    *,
    seconds_per_frame: float = 0.08,
    hold: float = 1.5,
) -> Path:
    """Write `frames` as a GIF that loops for ever and rests on its last frame for `hold` seconds; returns the path.

    frames: Pillow images of one size, or uint8 (N, H, W, C) arrays that become grids.
    Raises UsageError for no frames, sizes that differ, times that are not positive, or a name without .gif;
    WriteError when the place cannot be written.
    """
    if Path(path).suffix.lower() != ".gif":
        raise UsageError(f"'{path}' does not end in .gif, the format of animations; name the file so")
    return write_bytes(path, gif_bytes(frames, seconds_per_frame=seconds_per_frame, hold=hold))


def gif_bytes(frames: Sequence[Image.Image | Images], *, seconds_per_frame: float = 0.08, hold: float = 1.5) -> bytes:
    """What `animate` writes, as bytes that a page can hold."""
    if not min(seconds_per_frame, hold) > 0:
        raise UsageError(f"{seconds_per_frame} and {hold} seconds were given; give times above 0")
    images = _images(frames)
    times = [max(seconds_per_frame, _SHORTEST)] * (len(images) - 1) + [max(hold, _SHORTEST)]
    memory = io.BytesIO()
    first, *rest = indexed(images)
    first.save(
        memory,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=[round(1000 * time) for time in times],
        loop=0,
        optimize=False,
    )
    return memory.getvalue()


def _images(frames: Sequence[Image.Image | Images]) -> list[Image.Image]:
    images = [frame if isinstance(frame, Image.Image) else grid(frame, side=_SIDE) for frame in frames]
    if not images:
        raise UsageError("there are no frames, but an animation needs at least one; give a list of pictures")
    for number, image in enumerate(images, start=1):
        if image.size != images[0].size:
            raise UsageError(f"frame {number} is {image.size}, but the first is {images[0].size}; give one size")
    return images
