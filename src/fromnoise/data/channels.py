"""How many channels a set of images has, decided once for all of them, or by `data.channels`.

- 4 (RGBA), when more than half of the images have a pixel that is not fully opaque; otherwise alpha is laid over
  white, and
- 3 (RGB), when any image is stored in colour, even if it only shows greys (a palette counts by the colours that
  its pixels use), which a note then says; otherwise
- 1 (grey).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import UsageError
from fromnoise.data.notes import Note

NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}
_NEARLY = 2  # grey levels by which the channels of a grey picture may differ after lossy compression


def check_channels(channels: int | None) -> None:
    """UsageError for a number of channels that no images here have."""
    if channels is not None and channels not in NAMES:
        raise UsageError(
            f"data.channels is {channels}, but expected 1 (grey), 3 (RGB) or 4 (RGBA); give one of "
            "those, or leave it out"
        )


def grey_note(images: NDArray[np.uint8]) -> tuple[str, ...]:
    """Said of images (N, H, W, 3 or 4) that all show nothing but greys."""
    if images.shape[-1] < 3 or not all(shows_grey(image) for image in images):
        return ()
    return all_grey(images.shape[-1])


def all_grey(channels: int) -> tuple[str, ...]:
    """What is said of such images with so many channels."""
    text = f"all images are grey, stored as {NAMES[channels]}; --set data.channels=1 takes them as grey"
    return (Note(text, "all grey", stored=NAMES[channels]),)


def shows_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether the colour channels of (..., C) are the same but for what lossy compression leaves."""
    if pixels.shape[-1] < 3:
        return True
    colour = pixels[..., :3].astype(np.int16)
    return bool((colour.max(-1) - colour.min(-1)).max() <= _NEARLY)


def with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """(H, W, 1..4) as grey, grey with alpha, RGB or RGBA to (H, W, channels)."""
    alpha = pixels[..., -1:] if pixels.shape[-1] in (2, 4) else None
    colour = pixels if alpha is None else pixels[..., :-1]
    if channels < 4 and alpha is not None:
        # round(c a + 255 (1 - a)) in whole numbers, a = alpha / 255
        weight = alpha.astype(np.uint32)
        colour = ((colour * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
    if channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    elif channels == 1 and colour.shape[-1] == 3:
        # ITU-R BT.601, as Pillow's conversion to L; equal channels keep their value
        weights = np.array([19595, 38470, 7471], dtype=np.uint32)
        colour = ((colour.astype(np.uint32) @ weights + 32768) >> 16).astype(np.uint8)[..., None]
    if channels < 4:
        return colour
    full = np.full((*colour.shape[:2], 1), 255, dtype=np.uint8)
    return np.concatenate([colour, full if alpha is None else alpha], axis=-1)


def counted(number: int, remark: str) -> str:
    """`1 CMYK image to RGB`, `12 CMYK images to RGB`."""
    noun = "image" if "image" in remark else "file"
    return f"{number:,} {remark if number == 1 else remark.replace(noun, noun + 's', 1)}"
