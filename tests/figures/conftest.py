"""Small pictures whose every pixel is known, so that figures can be read back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Images = NDArray[np.uint8]


@pytest.fixture
def pictures() -> Callable[..., Images]:
    """pictures(n, channels=1, height=4, width=4): uint8 (n, height, width, channels), all different."""

    def make(n: int, channels: int = 1, height: int = 4, width: int = 4, seed: int = 0) -> Images:
        rng = np.random.default_rng(seed)
        return rng.integers(0, 200, (n, height, width, channels), dtype=np.uint8)

    return make
