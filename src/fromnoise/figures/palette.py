"""One palette of 256 colours for all frames of an animation, and the nearest of them for every pixel.

    index(colour) = argmin_k |colour - palette_k|^2, read from a table over 64 levels of red, green and blue

Dithering would turn still areas into crawling dots, and a palette for each frame would flicker: so neither is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LAST_COLOURS = 160
_SAMPLE_SIDE = 112
_LEVELS = 64
_CHUNK = 1 << 15


def indexed(images: Sequence[Image.Image]) -> list[Image.Image]:
    """Every frame as a "P" image with the same palette: all 256 greys, without loss, when every frame is grey."""
    if all(image.mode == "L" for image in images):
        greys = [level for level in range(256) for _ in range(3)]
        return [_with_palette(np.asarray(image), greys) for image in images]
    coloured = [image.convert("RGB") for image in images]
    palette = _common(coloured)
    table = _nearest(palette)
    return [_with_palette(table[_cells(np.asarray(image))], palette) for image in coloured]


def _with_palette(indices: NDArray[np.uint8], palette: list[int]) -> Image.Image:
    framed = Image.frombytes("P", (indices.shape[1], indices.shape[0]), indices.tobytes())
    framed.putpalette(palette)
    return framed


def _common(images: list[Image.Image]) -> list[int]:
    """White and black, most colours from the last frame, which is looked at longest, and others from the rest."""
    earlier = images[:-1][:: max(1, len(images) // 8)] or images
    found = [255, 255, 255, 0, 0, 0, *_colours(images[-1:], _LAST_COLOURS)]
    found += _colours(earlier, 256 - len(found) // 3)
    return found + found[:3] * (256 - len(found) // 3)


def _colours(images: list[Image.Image], number: int) -> list[int]:
    """At most `number` colours that suit `images` together, as r, g, b, r, g, b, ..."""
    sheet = Image.new("RGB", (_SAMPLE_SIDE * len(images), _SAMPLE_SIDE))
    for i, image in enumerate(images):
        small = image.resize((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.NEAREST)
        sheet.paste(small, (i * _SAMPLE_SIDE, 0))
    reduced = sheet.quantize(number, method=Image.Quantize.MEDIANCUT, kmeans=1)
    return list(reduced.getpalette() or [])[: 3 * number]


def _nearest(palette: list[int]) -> NDArray[np.uint8]:
    """For each cell of the colour cube, the palette's nearest colour; its own colours are met exactly."""
    colours = np.array(palette, dtype=np.float32).reshape(-1, 3)
    middle = np.arange(_LEVELS, dtype=np.float32) * 4 + 1.5
    cube = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1).reshape(-1, 3)
    table = np.empty(len(cube), dtype=np.uint8)
    for start in range(0, len(cube), _CHUNK):  # in parts: the whole table of distances would take 270 MB
        part = slice(start, start + _CHUNK)
        table[part] = ((colours**2).sum(axis=1) - 2 * cube[part] @ colours.T).argmin(axis=1)
    for k in range(len(colours) - 1, -1, -1):
        table[_cells(colours[k].astype(np.uint8))] = k
    return table


def _cells(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The number of the cube's cell in which each colour (..., 3) lies."""
    level = colours.astype(np.int64) // (256 // _LEVELS)
    cells: NDArray[np.int64] = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    return cells
