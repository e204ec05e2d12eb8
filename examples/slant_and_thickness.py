"""Measure slant and stroke width of digits and write them beside the images, as conditions to train on.

    python examples/slant_and_thickness.py mnist measured.npz
    fromnoise train measured.npz --conditions slant,thickness --budget 60s --output_dir runs/measured
    fromnoise sample runs/measured --condition slant=-0.4:0.6 --out slant.gif

Both follow from sums over the image I(x, y), with x to the right and y upwards:

    slant      mu11 / mu02: by how many pixels a stroke moves to the right on one pixel upwards
    thickness  2 sum I / sum |grad I|: a stroke of width w and length l has the area w l and the outline 2 l
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.data import load


def slant(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """mu11 / mu02 of grey images (N, H, W) with ink 1 on paper 0."""
    _, height, width = images.shape
    y, x = np.mgrid[height - 1 : -1 : -1, 0:width].astype(np.float64)
    ink = images.sum((1, 2)).clip(1e-6)
    dx = x - ((images * x).sum((1, 2)) / ink)[:, None, None]
    dy = y - ((images * y).sum((1, 2)) / ink)[:, None, None]
    return np.asarray((images * dx * dy).sum((1, 2)) / (images * dy**2).sum((1, 2)).clip(1e-6))


def thickness(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the area over the outline, in pixels, of grey images (N, H, W) with ink 1 on paper 0."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    down, right = np.diff(padded, axis=1)[:, :, :-1], np.diff(padded, axis=2)[:, :-1]
    outline = np.sqrt(down**2 + right**2).sum((1, 2))
    return np.asarray(2 * images.sum((1, 2)) / outline.clip(1e-6))


def measured(source: str) -> dict[str, Any]:
    """Images, labels, slant and thickness of both splits, by the keys that fromnoise reads."""
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        data = load(source, "train" if split == "train" else "test")
        pixels = data.images[:][:, 0].numpy()
        ink = pixels / 255.0
        arrays |= {f"x_{split}": pixels, f"slant_{split}": slant(ink), f"thickness_{split}": thickness(ink)}
        if data.labels is not None:
            arrays |= {f"y_{split}": data.labels.numpy(), "classes": np.array(data.spec.classes)}
    return arrays


if __name__ == "__main__":
    found = measured(sys.argv[1])
    np.savez_compressed(sys.argv[2], **found)
    for name in ("slant", "thickness"):
        values = found[f"{name}_train"]
        low, high, mean = values.min(), values.max(), values.mean()
        print(f"{name}: {low:.2f} to {high:.2f}, mean {mean:.2f}, deviation {values.std():.2f}")
