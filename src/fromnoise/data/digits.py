"""The data set that is always there: 1,797 handwritten digits, 8x8 with values 0..16, shipped as digits.npz (45 kB).

They are enlarged to 16x16 by bicubic interpolation in floating point, over a border of paper, then clipped to
0..16 and scaled to 0..255. Bicubic has a single negative lobe on each side, so clipping at paper leaves no
halo.

Source: the test part of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998 (https://doi.org/10.24432/C50P49), licensed CC BY 4.0. Order and values are those of scikit-learn's
`load_digits`; only the file format differs.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from fromnoise.data.area import Area
from fromnoise.data.registry import DATASETS
from fromnoise.data.source import SourceImages, from_arrays
from fromnoise.settings import DataOptions

TRAIN = 1500
_SIDE, _BORDER = 8, 2


class Digits:
    """1,500 digits to train on and 297 to test with."""

    name = "digits"

    def splits(self) -> tuple[str, ...]:
        """Both."""
        return ("train", "test")

    def read(self, split: str, options: DataOptions, area: Area | None = None) -> SourceImages:
        """The digits of a split, 16x16 grey unless a resolution is given."""
        pixels, labels = stored()
        chosen = _order(len(labels))
        chosen = chosen[:TRAIN] if split == "train" else chosen[TRAIN:]
        images = np.stack([_enlarged(digit) for digit in pixels[chosen]])[..., None]
        rest = len(labels) - TRAIN
        note = f"8x8 digits enlarged to 16x16; a fixed shuffle keeps {TRAIN:,} to train on and {rest} to test with"
        return from_arrays(images, labels[chosen], DATASETS["digits"].classes, options, (note,), area)

    def state(self) -> str:
        """They never change."""
        return ""


def stored() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The digits as they are shipped: pixels (1797, 8, 8) with values 0..16, and their labels (1797,)."""
    with (files("fromnoise.data") / "digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["images"], arrays["labels"].astype(np.int64)


def _order(number: int) -> NDArray[np.int64]:
    """A permutation that no library's random generator can change: by the SHA-256 of each index."""
    keys = [hashlib.sha256(f"digits/{index}".encode()).digest() for index in range(number)]
    return np.array(sorted(range(number), key=keys.__getitem__), dtype=np.int64)


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(8, 8) with values 0..16 to uint8 (16, 16)."""
    from PIL import Image

    paper = np.pad(pixels.astype(np.float32), _BORDER)
    side = 2 * (_SIDE + 2 * _BORDER)
    smooth = np.asarray(Image.fromarray(paper).resize((side, side), Image.Resampling.BICUBIC))
    inner = smooth[2 * _BORDER : -2 * _BORDER, 2 * _BORDER : -2 * _BORDER]
    return np.rint(inner.clip(0, 16) * (255 / 16)).astype(np.uint8)
