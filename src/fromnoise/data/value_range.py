"""Which stored values are black and white: a file's bits do not say what its values fill.

    u = round(255 (v - low) / (high - low)), clipped        v stored value, u in 0..255

"full" takes all that the file's bits can hold, `--set data.range=0-4095` the values 0 to 4,095. "auto" looks at all
images of the training split: values that fill at most 12 of 16 bits, or at most 24 grey levels from black, are
stretched, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import UsageError
from fromnoise.data.area import blocks
from fromnoise.data.mapped import identity, is_mapped
from fromnoise.data.remembered import remembered

DARK = 24  # grey levels: images that stay below look black
NARROW = 96
_BITS = (8, 10, 12)  # that values in 16-bit files are taken to have when they fill no more
_ROWS = 1 << 20


@dataclass(frozen=True)
class ValueRange:
    """The stored values of black and white."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.12g}-{self.high:.12g}"

    def grey_levels(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Values of any type and shape as grey levels 0 to 255, with little memory beside them."""
        if values.dtype in (np.uint8, np.uint16):
            return np.take(self._table(np.iinfo(values.dtype).max), values)
        found = np.empty(values.shape, dtype=np.uint8)
        flat, levels = values.reshape(-1), found.reshape(-1)
        for start in range(0, flat.size, _ROWS):
            levels[start : start + _ROWS] = self._exact(flat[start : start + _ROWS])
        return found

    def table(self) -> list[int]:
        """The grey level of each 8-bit value."""
        return [int(level) for level in self._table(255)]

    def _table(self, top: int) -> NDArray[np.uint8]:
        return self._exact(np.arange(top + 1))

    def _exact(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        unit = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return np.floor(unit.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Stored:
    """Stored values of one image or of many: the lowest, the highest, and the highest that their bits can hold."""

    low: float
    high: float
    top: float


def parse_range(text: str) -> ValueRange | None:
    """The range that `data.range` gives: None for "auto" and "full"; UsageError for what is none of these."""
    if text in ("auto", "full"):
        return None
    number = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*"
    match = re.fullmatch(f"{number}-{number}", text, re.IGNORECASE)
    found = ValueRange(float(match[1]), float(match[2])) if match else None
    if found is None or not found.low < found.high or not np.isfinite(found.high - found.low):
        raise UsageError(
            f"data.range is '{text}', but expected auto, full, or the values of black and white such as 0-4095; give "
            "one of those"
        )
    return found


def together(stored: Iterable[Stored]) -> Stored | None:
    """The values of all images; where some have more than 8 bits, of those."""
    found = list(stored)
    deep = [one for one in found if one.top > 255] or found
    if not deep:
        return None
    return Stored(min(s.low for s in deep), max(s.high for s in deep), max(s.top for s in deep))


def detect(stored: Stored) -> ValueRange | None:
    """The range that "auto" reads these values by, None for all that their bits can hold."""
    if stored.low < 0 or stored.low == stored.high:
        return None
    if stored.high <= DARK:
        return ValueRange(0, stored.high)
    if stored.top > 255:
        return next((ValueRange(0, 2**bits - 1) for bits in _BITS if stored.high < 2**bits), None)
    return None


def range_note(stored: Stored, chosen: ValueRange | None) -> tuple[str, ...]:
    """What to say of values that fill a small part of what their bits can hold; nothing of others.

    chosen: the range that they are read by, None for all that the bits can hold.
    """
    held = f"range: the images hold {_plain(stored.low)} to {_plain(stored.high)} of 0 to {_plain(stored.top)}"
    guess = detect(stored)
    kind = _kind(stored, guess)
    if chosen is not None:
        return (f"{held}{kind}; read as {chosen} (--set data.range=full leaves them as they are)",)
    if guess is not None:
        return (f"{held}{kind}, a small part of it; --set data.range={guess} stretches them, as auto does",)
    if stored.top > 255 and stored.low < stored.high < 2**14:
        return (f"{held}; if these are 14-bit values, --set data.range=0-16383 stretches them",)
    if stored.high - stored.low <= NARROW * stored.top / 255:
        wider = f"--set data.range={ValueRange(stored.low, stored.high)} stretches them"
        return (f"{held}, a small part of it; {wider}",) if stored.high > stored.low else ()
    return ()


def array_levels(values: NDArray[Any], setting: str) -> tuple[ValueRange | None, str, tuple[str, ...]]:
    """(the range that the images of an array are read by, None where they are as they should be; its name; notes).

    Arguments:
        values: uint8 or uint16; of any other type where `setting` gives the range.
        setting: `data.range`.

    Raises:
        UsageError: for a range that the type cannot hold.
    """
    chosen, whole = parse_range(setting), values.dtype in (np.uint8, np.uint16)
    stored = Stored(*_extremes(values, colours(values)), float(np.iinfo(values.dtype).max) if whole else np.inf)
    if chosen is not None and stored.top == 255 < chosen.high:
        raise UsageError(past_eight_bits(setting))
    if chosen is None and setting == "auto":
        chosen = detect(stored)
    said = () if parse_range(setting) else range_note(stored, chosen)
    if chosen is not None and (stored.low < chosen.low or stored.high > chosen.high):
        said += (f"range: values outside {chosen} were clipped",)
    read_as = str(chosen) if chosen else "full"
    if values.dtype == np.uint8:
        return chosen, read_as, said
    said += (f"converted: {'16-bit' if values.dtype == np.uint16 else values.dtype} values to 8 bits",)
    return chosen or ValueRange(0, stored.top), read_as, said


def colours(values: NDArray[Any]) -> int:
    """How many of the channels (N, H, W, C) the range is of: alpha of whole numbers has that of its type."""
    return 3 if values.shape[-1] == 4 and values.dtype in (np.uint8, np.uint16) else values.shape[-1]


def _extremes(values: NDArray[Any], channels: int) -> tuple[float, float]:
    """The lowest and the highest of all values of the first `channels`, of those that alpha does not hide."""

    def seen() -> str:
        if channels == values.shape[-1]:
            return f"{float(values.min())!r} {float(values.max())!r}"
        parts = [block[..., :channels][block[..., -1] > 0] for block in blocks(values)]
        ends = [(float(part.min()), float(part.max())) for part in parts if part.size] or [(0.0, 0.0)]
        return f"{min(low for low, _ in ends)!r} {max(high for _, high in ends)!r}"

    what = "extremes" if channels == values.shape[-1] else "extremes of colours"
    low, high = (remembered(identity(values), what, seen) if is_mapped(values) else seen()).split()
    return float(low), float(high)


def past_eight_bits(setting: str) -> str:
    """The sentence for a range beyond what 8 bits hold."""
    return (
        f"data.range is {setting}, but all images have 8 bits, so their values end at 255; give a range within 0-255, "
        "or leave it out"
    )


def _kind(stored: Stored, guess: ValueRange | None) -> str:
    if guess is None:
        return ""
    if stored.high <= 1:
        return ", as masks of 0 and 1 do"
    if stored.top > 255 and stored.high > DARK:
        return f", as {int(guess.high + 1).bit_length() - 1}-bit values do"
    # The upper 8 of 16 bits of 12-bit values end at 15, or at 16 where they were rounded.
    return ", as masks with few classes or 12-bit values divided by 256 do" if stored.high <= 16 else ""


def _plain(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
