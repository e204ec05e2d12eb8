"""Many image files to one uint8 array.

How many channels, decided once for all of them:
- 4 (RGBA), when more than half of the images have a pixel that is not fully opaque; otherwise alpha is laid over
  white, and
- 3 (RGB), when any image is stored in colour, even if it only shows greys (a palette counts by the colours that
  its pixels use); otherwise
- 1 (grey).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError
from fromnoise.common.progress import progress
from fromnoise.common.text import count, hw, printable, some
from fromnoise.data.decode import BadImage, DecodedImage, decode, peek, pillow_guard
from fromnoise.data.resize import Resize, choose_resize
from fromnoise.data.source import SourceImages
from fromnoise.settings import DataOptions

T = TypeVar("T")

_WORTH_THREADS = 50_000_000  # pixels: below this, threads cost more than they give
_CHUNK = 256
_LISTED = 10


class Item(Protocol):
    """A file that can be opened any number of times."""

    @property
    def name(self) -> str:
        """For sentences; safe to print."""

    @property
    def open(self) -> Callable[[], BinaryIO]:
        """Opens it for reading bytes."""


@dataclass(frozen=True)
class _Bad:
    """An item that cannot be used."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def read_items(
    where: str,
    items: Sequence[Item],
    labels: Sequence[int] | None,
    classes: tuple[str, ...],
    options: DataOptions,
    notes: tuple[str, ...] = (),
) -> SourceImages:
    """All items decoded to one shape; DataError for one that cannot be, unless bad ones are to be skipped."""
    skip = options.on_bad_image == "skip"
    with pillow_guard():
        sizes, bad = _measured(items)
        if bad and not skip:
            raise _refusal(where, list(bad.values()))
        if not sizes:
            raise _nothing(where, bad)
        resize, resizing = choose_resize(Counter(sizes.values()), options)
        decoded: dict[int, DecodedImage] = {}
        # Closed at once on the way out, so that no thread or progress bar outlives an error.
        with closing(_decoded(where, items, sizes, resize)) as results:
            for place, result in results:
                if isinstance(result, DecodedImage):
                    decoded[place] = result
                elif skip:
                    bad[place] = result
                else:
                    raise _refusal(where, [result])
    if not decoded:
        raise _nothing(where, bad)
    images, converted = _stacked(list(decoded.values()), resize)
    lost = tuple(str(bad[place]) for place in sorted(bad))
    chosen = None
    if labels is not None:
        kept = [labels[place] for place in decoded]
        _check_classes(where, labels, kept, classes)
        chosen = np.array(kept, dtype=np.int64)
    said = notes + resizing + converted + _left_out(lost)
    modes = Counter(image.mode for image in decoded.values())
    shapes = Counter(hw(*sizes[place]) for place in decoded)
    return SourceImages(images, chosen, tuple(map(printable, classes)), said, modes, shapes, lost)


def _measured(items: Sequence[Item]) -> tuple[dict[int, tuple[int, int]], dict[int, _Bad]]:
    """(height, width) of every item by its header, and the items without a good one."""
    sizes: dict[int, tuple[int, int]] = {}
    bad: dict[int, _Bad] = {}
    for place, item in enumerate(items):
        result = _attempt(item, peek)
        if isinstance(result, _Bad):
            bad[place] = result
        else:
            sizes[place] = result
    return sizes, bad


def _attempt(item: Item, use: Callable[[BinaryIO], T]) -> T | _Bad:
    """What `use` makes of the opened item, or why it cannot be used."""
    try:
        file = item.open()
    except Exception as error:  # a damaged .zip member raises what its compression happens to raise
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return _Bad(item.name, printable(text))
    try:
        with file:
            return use(file)
    except BadImage as error:
        return _Bad(item.name, str(error))


def _decoded(
    where: str, items: Sequence[Item], sizes: dict[int, tuple[int, int]], resize: Resize
) -> Generator[tuple[int, DecodedImage | _Bad], None, None]:
    """The measured items in order, each decoded to `resize`; by threads where there is much to decode."""
    places = list(sizes)
    pixels = sum(height * width for height, width in sizes.values())

    def work(place: int) -> DecodedImage | _Bad:
        return _attempt(items[place], lambda file: decode(file, resize))

    # Pillow lets go of the interpreter while it decodes, so threads do run side by side.
    workers = min(8, os.cpu_count() or 1) if pixels > _WORTH_THREADS else 1
    pool = ThreadPoolExecutor(workers)
    try:
        with progress(f"reading {where}", len(places)) as advance:
            for start in range(0, len(places), _CHUNK):
                chunk = places[start : start + _CHUNK]
                for result in zip(chunk, pool.map(work, chunk) if workers > 1 else map(work, chunk)):
                    yield result
                    advance(1)
    finally:
        pool.shutdown(cancel_futures=True)


def _stacked(decoded: Sequence[DecodedImage], resize: Resize) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """uint8 (N, H, W, C), and what was converted."""
    remarks = Counter(remark for image in decoded for remark in image.remarks)
    clear = [image.transparent for image in decoded]
    colour = [image.pixels.shape[-1] >= 3 for image in decoded]
    keep_alpha = 2 * sum(clear) > len(decoded)
    channels = 4 if keep_alpha else 3 if any(colour) else 1
    images = np.empty((len(decoded), resize.height, resize.width, channels), dtype=np.uint8)
    for place, image in enumerate(decoded):
        images[place] = _with_channels(image.pixels, channels)
    if channels >= 3 and not all(colour):
        remarks[f"grey image to {'RGBA' if keep_alpha else 'RGB'}"] = len(colour) - sum(colour)
    if keep_alpha and not all(clear):
        remarks["opaque image given full alpha"] = len(clear) - sum(clear)
    elif any(clear) and not keep_alpha:
        remarks["transparent image laid over white"] = sum(clear)
    said = [_counted(number, remark) for remark, number in sorted(remarks.items())]
    return images, (f"converted: {'; '.join(said)}",) if said else ()


def _counted(number: int, remark: str) -> str:
    """`1 CMYK image to RGB`, `12 CMYK images to RGB`."""
    noun = "image" if "image" in remark else "file"
    return f"{number:,} {remark if number == 1 else remark.replace(noun, noun + 's', 1)}"


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """(H, W, 1..4) as grey, grey with alpha, RGB or RGBA to (H, W, channels)."""
    alpha = pixels[..., -1:] if pixels.shape[-1] in (2, 4) else None
    colour = pixels if alpha is None else pixels[..., :-1]
    if channels < 4 and alpha is not None:
        # round(c a + 255 (1 - a)) in whole numbers, a = alpha / 255
        weight = alpha.astype(np.uint32)
        colour = ((colour * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
    if channels >= 3 and colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    if channels < 4:
        return colour
    full = np.full((*colour.shape[:2], 1), 255, dtype=np.uint8)
    return np.concatenate([colour, full if alpha is None else alpha], axis=-1)


def _nothing(where: str, bad: dict[int, _Bad]) -> DataError:
    """The error for when no file is left; also when a hub's table has no rows."""
    example = f", e.g. {bad[min(bad)]}" if bad else ""
    return DataError(f"{where} has {count(len(bad), 'image')}, and none can be read{example}; replace them")


def _refusal(where: str, bad: Sequence[_Bad]) -> DataError:
    """The error for files that cannot be read."""
    more = f", nor can {count(len(bad) - 1, 'other file')}" if len(bad) > 1 else ""
    return DataError(
        f"{bad[0].name} in {where} cannot be read: {bad[0].reason}{more}; "
        "fix or remove what is broken, or leave it out with --on_bad_image skip"
    )


def _left_out(lost: tuple[str, ...]) -> tuple[str, ...]:
    if not lost:
        return ()
    return (f"{count(len(lost), 'file')} that cannot be read left out: {some(lost, _LISTED)}",)


def _check_classes(where: str, before: Sequence[int], after: Sequence[int], classes: tuple[str, ...]) -> None:
    """A class whose files were all left out would be learnt from nothing."""
    gone = sorted(set(before) - set(after))
    if gone:
        names = some([printable(classes[place]) for place in gone])
        raise DataError(f"{where} has no readable image of {names}; fix or remove that class folder")
