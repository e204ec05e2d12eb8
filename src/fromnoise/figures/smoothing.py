"""What is drawn of a long, noisy series: a centred running mean, and few enough points to draw.

mean_i = average of the finite y_j with i - r_i <= j <= min(i + r_i, n - 1),  r_i = min(i // 4, h)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Series = NDArray[np.float64]


def running_mean(y: ArrayLike, half: int | None = None) -> Series:
    """The centred mean over 2 * `half` + 1 values, same length as `y`; values that are not finite are left out.

    half: by default a fiftieth of the series. Near the start the window shrinks on both sides, so that the steep
    first steps are not lifted by what follows; at the end only its right side is cut, so the last value is steady.
    """
    values = np.asarray(y, dtype=np.float64)
    n = len(values)
    half = max(1, n // 50) if half is None else half
    finite = np.isfinite(values)
    totals = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    i = np.arange(n)
    reach = np.minimum(i // 4, half)
    first, past = i - reach, np.minimum(i + reach, n - 1) + 1
    number = counts[past] - counts[first]
    means: Series = np.full(n, np.nan)
    np.divide(totals[past] - totals[first], number, out=means, where=number > 0)
    return means


def thinned(x: ArrayLike, y: ArrayLike, most: int = 3000) -> tuple[Series, Series]:
    """At most about `most` of the points (x, y): the lowest and highest of each stretch, so that spikes stay."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(ys) <= most:
        return xs, ys
    keep: list[int] = []
    for stretch in np.array_split(np.arange(len(ys)), most // 2):
        part = ys[stretch]
        if np.isfinite(part).any():
            keep += sorted({int(stretch[np.nanargmin(part)]), int(stretch[np.nanargmax(part)])})
        else:
            keep.append(int(stretch[0]))
    return xs[keep], ys[keep]


DRAWABLE = 1e300
"""Beyond this a number of a damaged log would make an axis without an end."""


def sensible_top(y: ArrayLike) -> float:
    """An upper end for a loss axis that starts at 0: what follows the steep first steps, with some air above."""
    values = np.asarray(y, dtype=np.float64)
    settled = values[len(values) // 20 :]
    settled = settled[np.abs(settled) < DRAWABLE]
    if not len(settled) or settled.max() <= 0:
        return 1.0
    return 1.25 * float(np.quantile(settled, 0.98))
