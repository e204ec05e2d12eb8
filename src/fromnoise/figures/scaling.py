"""What an image is in this package, and how it is enlarged: by whole numbers, so that pixels stay crisp.

    side(scale) = columns * width * scale + (columns + 1) * gap      chosen nearest to TARGET_SIDE

Images too large for that are shrunk by a whole number instead, each new pixel the mean of a square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fromnoise.common.errors import UsageError

Images: TypeAlias = NDArray[np.uint8]

TARGET_SIDE = 740
LARGEST_SIDE = 2000
WHITE = 255
_CHECKER = 8
_CHECKER_GREY = 232


def check_images(images: Images, name: str = "images") -> Images:
    """`images` itself when it is uint8 (N, H, W, C) with C in 1, 3, 4 and nothing is empty; else UsageError."""
    shape, kind = np.shape(images), getattr(images, "dtype", type(images).__name__)
    if kind != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3, 4) or 0 in shape:
        raise UsageError(
            f"{name} are {kind} of shape {shape}, but a figure needs uint8 (N, H, W, C) with C of 1, 3 or 4 "
            "and at least one image; convert them first"
        )
    return images


def mode_of(*groups: Images) -> str:
    """Pillow's mode for a figure that holds all `groups`: "L" when every image is grey, else "RGB"."""
    return "L" if all(group.shape[3] == 1 for group in groups) else "RGB"


def tiles(images: Images, scale: float, *, mode: str, invert: bool = False) -> list[Image.Image]:
    """Each image as a Pillow image of `mode`, `scale` times as large (a whole number, or 1 / whole number).

    invert: grey on white, as matplotlib's reversed greys (black becomes white); grey images only, else UsageError.
    Transparent pixels show a pale checkerboard, so that they differ from white ones.
    """
    if invert and images.shape[3] != 1:
        raise UsageError(
            f"invert is for grey images, but these have {images.shape[3]} channels; draw them with invert=False"
        )
    return [_resized(_flat(image, invert), scale).convert(mode) for image in _on_checker(images, scale)]


def best_scale(side: Callable[[float], float], tile: int, *, largest_tile: int, target: float) -> float:
    """The scale whose `side(scale)` is nearest (in ratio) to `target` with tiles of at most `largest_tile` pixels.

    tile: the longer side of one image. Returns a whole number, or 1 / whole number where even scale 1 would
    pass LARGEST_SIDE.
    """
    if side(1.0) > LARGEST_SIDE:
        shrink = math.ceil(side(1.0) / LARGEST_SIDE)
        return 1.0 / shrink
    most = max(1, largest_tile // tile)
    return float(min(range(1, most + 1), key=lambda scale: abs(math.log(side(scale) / target))))


def chosen_scale(
    scale: int | None,
    side: Callable[[float], float],
    tile: int,
    *,
    largest_tile: int,
    target: float = TARGET_SIDE,
) -> float:
    """`scale` where one is given (at least 1, else UsageError), otherwise `best_scale`."""
    if scale is None:
        return best_scale(side, tile, largest_tile=largest_tile, target=target)
    if isinstance(scale, bool) or int(scale) != scale or scale < 1:
        raise UsageError(f"scale is {scale}, but images are enlarged by a whole number; give 1 or more")
    return float(scale)


def scaled(length: int, scale: float) -> int:
    """`length` pixels at `scale`; a shrunk remainder still takes a pixel."""
    return math.ceil(length * scale - 1e-9)


def gutter(tile: int) -> int:
    """The white space between tiles of `tile` pixels: 4 to 10, a little more for larger tiles."""
    return min(10, 4 + tile // 32)


def _resized(image: Image.Image, scale: float) -> Image.Image:
    if scale < 1:
        return image.reduce(round(1 / scale))
    width, height = image.size
    return image.resize((width * int(scale), height * int(scale)), Image.Resampling.NEAREST)


def _flat(image: Images, invert: bool) -> Image.Image:
    """One (H, W, 1 or 3) image as a Pillow image."""
    if image.shape[2] == 1:
        grey = np.ascontiguousarray(image[:, :, 0])
        return Image.fromarray(WHITE - grey if invert else grey)
    return Image.fromarray(np.ascontiguousarray(image))


def _on_checker(images: Images, scale: float) -> Images:
    """RGBA images laid over a checkerboard of about _CHECKER final pixels; others as they are."""
    if images.shape[3] != 4:
        return images
    _, height, width, _ = images.shape
    square = max(1, round(_CHECKER / scale))
    y, x = np.arange(height)[:, None] // square, np.arange(width)[None, :] // square
    board = np.where((x + y) % 2 == 0, float(WHITE), float(_CHECKER_GREY))[None, :, :, None]
    alpha = images[..., 3:].astype(np.float64) / 255.0
    mixed: Images = np.rint(images[..., :3] * alpha + board * (1.0 - alpha)).astype(np.uint8)
    return mixed
