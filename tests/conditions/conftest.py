"""Grey strokes at an angle: an image set whose numbers are known, and a run that is trained on it for seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fromnoise.run import Run

SIDE = 12
SMALL = {
    "data.conditions": "slant",
    "net.width": 16,
    "net.depth": 1,
    "train.num_images": 12_000,
    "train.learning_rate": 0.02,
    "train.train_batch_size": 64,
    "train.previews": 1,
    "train.validations": 1,
}


def strokes(slants: NDArray[np.floating]) -> NDArray[np.uint8]:
    """uint8 (N, 12, 12): a stroke through the middle that moves `slants` pixels to the right for each pixel upwards."""
    y, x = np.mgrid[SIDE - 1 : -1 : -1, 0:SIDE] - (SIDE - 1) / 2
    apart = np.abs(x - slants[:, None, None] * y) / np.sqrt(1 + slants[:, None, None] ** 2)
    return np.rint(255 * np.clip(1.7 - apart, 0, 1)).astype(np.uint8)


@pytest.fixture(scope="session")
def slants() -> Callable[[int, int], NDArray[np.float32]]:
    """Slants of so many strokes, by a seed."""
    return lambda number, seed: np.random.default_rng(seed).uniform(-0.8, 0.8, number).astype(np.float32)


@pytest.fixture(scope="session")
def stroke_file(tmp_path_factory: pytest.TempPathFactory, slants: Callable[[int, int], NDArray[np.float32]]) -> Path:
    """An .npz of 600 strokes to train on, 200 to test with and their slants; one is not known."""
    path = tmp_path_factory.mktemp("strokes") / "strokes.npz"
    train, test = slants(600, 0), slants(200, 1)
    known = train.copy()
    known[5] = np.nan
    np.savez(path, x_train=strokes(train), slant=known, x_test=strokes(test), slant_test=test)
    return path


@pytest.fixture(scope="session")
def stroke_run(tmp_path_factory: pytest.TempPathFactory, stroke_file: Path) -> Run:
    """Trained on them."""
    folder = tmp_path_factory.mktemp("runs") / "strokes"
    return Run.create(stroke_file, output_dir=folder, settings=SMALL).train()
