"""Frames that move: a GIF with one palette for all of it, so that nothing flickers."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.marks import mark_text
from fromnoise.figures.grid import grid
from fromnoise.figures.scaling import Images

_SHORTEST = 0.02  # seconds: viewers slow shorter frames down to 0.1
_SIDE = 480  # smaller than a still: noise does not compress
_SAMPLED_SIDE = 112  # of a frame when colours are chosen


def animate(
    frames: Sequence[Image.Image | Images],
    path: str | os.PathLike[str],
    *,
    seconds_per_frame: float = 0.08,
    hold: float = 1.5,
) -> Path:
    """Write `frames` as a GIF that loops for ever and rests on its last frame for `hold` seconds; returns the path.

    Arguments:
        frames: Pillow images of one size, or uint8 (N, H, W, C) arrays that become grids.
        seconds_per_frame, hold: how long each frame, and the last one, is shown.

    Raises:
        UsageError: for no frames, sizes that differ, times that are not positive, or a name without .gif.
        WriteError: when the place cannot be written.
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
    first, *rest = _indexed(images)
    first.save(
        memory,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=[round(1000 * time) for time in times],
        loop=0,
        optimize=False,
        comment=mark_text("figure").encode(),
    )
    return memory.getvalue()


def _indexed(images: list[Image.Image]) -> list[Image.Image]:
    """Grey frames as they are, which a GIF holds exactly; coloured ones with one palette of 256 colours for all.

    A palette for each frame would flicker, and dithering would turn still areas into crawling dots. White stays white.
    The last frame, which is looked at longest, counts twice as much as the others together.
    """
    if all(image.mode == "L" for image in images):
        return images
    coloured = [image.convert("RGB") for image in images]
    earlier = coloured[:-1][:: max(1, len(coloured) // 8)]
    chosen = earlier + coloured[-1:] * max(1, 2 * len(earlier))
    sheet = Image.new("RGB", (_SAMPLED_SIDE * len(chosen), _SAMPLED_SIDE))
    for i, image in enumerate(chosen):
        small = image.resize((_SAMPLED_SIDE, _SAMPLED_SIDE), Image.Resampling.NEAREST)
        sheet.paste(small, (i * _SAMPLED_SIDE, 0))
    colours = sheet.quantize(255, method=Image.Quantize.MEDIANCUT, kmeans=1).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *colours[: 3 * 255]])
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in coloured]


def _images(frames: Sequence[Image.Image | Images]) -> list[Image.Image]:
    images = [frame if isinstance(frame, Image.Image) else grid(frame, side=_SIDE) for frame in frames]
    if not images:
        raise UsageError("no frames were given, but an animation needs at least one; give a list of images")
    for number, image in enumerate(images, start=1):
        if image.size != images[0].size:
            raise UsageError(f"frame {number} is {image.size}, but the first is {images[0].size}; give one size")
    return images
