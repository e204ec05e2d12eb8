"""Noise that Python and the page's JavaScript draw alike: a hash of (seed, position), made normal by Box and Muller.

    h(n)  = lowbias32(n)                                      32-bit integers, so that both languages are exact
    a, b  = h(h(seed) + 2 i), h(h(seed) + 2 i + 1)
    z_i   = sqrt(-2 ln((a + 1/2) / 2^32)) cos(2 pi (b + 1/2) / 2^32)

The uniform prior takes (a + 1/2) / 2^32. page/noise.js is the same in JavaScript; a test compares them.

References: Wellons 2018, hash prospector (the constants of lowbias32), https://github.com/skeeto/hash-prospector
"""

from __future__ import annotations

from typing import Any

import numpy as np

STREAMS = 1 << 20
"""Seeds of fresh noise: draw i of seed s is the noise of seed s + STREAMS (i + 1)."""


def hashed(n: Any) -> Any:
    """lowbias32 of uint32 values, any shape."""
    n = np.asarray(n, dtype=np.uint32)
    with np.errstate(over="ignore"):
        n = (n ^ (n >> np.uint32(16))) * np.uint32(0x21F0AAAD)
        n = (n ^ (n >> np.uint32(15))) * np.uint32(0x735A2D97)
    return n ^ (n >> np.uint32(15))


def shared_noise(seed: int, count: int, prior: str = "normal") -> Any:
    """float32 (count,): the noise of `seed`, from a normal or a uniform prior.

    Arguments:
        seed: 0 to 2^32 - 1.
        prior: "normal", or "uniform" on [0, 1].
    """
    positions = np.arange(2 * count, dtype=np.uint32)
    with np.errstate(over="ignore"):
        bits = hashed(hashed(np.uint32(seed)) + positions)
    unit = (bits.astype(np.float64) + 0.5) / 2**32
    a, b = unit[0::2], unit[1::2]
    values = a if prior == "uniform" else np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b)
    return values.astype(np.float32)
