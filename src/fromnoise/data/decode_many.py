"""Many image files to one uint8 array: measured by their headers, then decoded to one shape, range and kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.progress import progress
from fromnoise.common.text import count, hw, printable, some
from fromnoise.common.threads import THREADS
from fromnoise.data.area import Area, Memory
from fromnoise.data.conditions import Numbers
from fromnoise.data.decode import BadImage, DecodedImage, decode, peek, pillow_guard
from fromnoise.data.in_flight import InFlight
from fromnoise.data.metadata import JPEG
from fromnoise.data.open_image import lacks_memory
from fromnoise.data.resize import Resize, choose_resize
from fromnoise.data.source import SourceImages
from fromnoise.data.stack import Stack
from fromnoise.data.value_range import Stored, ValueRange, detect, parse_range, past_eight_bits, range_note
from fromnoise.settings import DataOptions

T = TypeVar("T")

_WORTH_THREADS = 50_000_000  # pixels: below this, threads cost more than they give
_CHUNK = 256
_MOST_AT_ONCE = 128_000_000  # pixels that are decoded at the same time; each takes 4 to 12 bytes
_LARGE = 32_000_000
_LISTED = 10
_OPEN = ("auto", "full")  # ranges that are said where they are not the usual one


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
    area: Area | None = None,
    conditions: Numbers | None = None,
) -> SourceImages:
    """All items decoded to one shape; DataError for one that cannot be, unless bad ones are to be skipped.

    area: where the pixels go; memory if not given. conditions: numbers of each item.
    """
    reading = _Reading(where, items, options, area or Memory())
    with pillow_guard():
        resize, resizing = choose_resize(reading.measure(), options)
        values = parse_range(options.range)
        stack, values, stored = reading.decode(resize, values)
    if stored is not None and options.range in _OPEN:
        notes += range_note(stored, values)
    elif stored is not None and values is not None and values.high > 255 >= stored.top:
        raise UsageError(past_eight_bits(options.range))
    images, converted = stack.finish()
    lost = tuple(str(reading.bad[place]) for place in sorted(reading.bad))
    chosen = None
    if labels is not None:
        every = np.asarray(labels, dtype=np.int64)
        chosen = every[reading.good]
        _check_classes(where, every, chosen, classes)
    said = notes + resizing + converted + left_out(lost)
    read_as = str(values) if values else "full"
    numbers = {name: values[reading.good] for name, values in (conditions or {}).items()}
    return SourceImages(
        images, chosen, tuple(map(printable, classes)), said, stack.modes, reading.shapes, lost, read_as, numbers
    )


class _Reading:
    """The items of one set: what is known of them, and which of them are bad."""

    def __init__(self, where: str, items: Sequence[Item], options: DataOptions, area: Area) -> None:
        self._where, self._items, self._options, self._area = where, items, options, area
        self._skip = options.on_bad_image == "skip"
        self.bad: dict[int, _Bad] = {}
        self._sizes = np.zeros((len(items), 2), dtype=np.int32)
        self._weights = np.zeros(len(items), dtype=np.int64)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Whether each item could be used so far."""
        found = np.ones(len(self._items), dtype=np.bool_)
        found[list(self.bad)] = False
        return found

    @property
    def shapes(self) -> Counter[str]:
        """How many of the good items have each size as stored."""
        kinds, numbers = np.unique(self._sizes[self.good], axis=0, return_counts=True)
        return Counter({hw(*size): number for size, number in zip(kinds.tolist(), numbers.tolist())})

    def measure(self) -> Counter[tuple[int, int]]:
        """How many items have each (height, width) by their headers."""
        found = Counter[tuple[int, int]]()
        for place, item in enumerate(self._items):
            result = _attempt(item, _measured)
            if isinstance(result, _Bad):
                self.bad[place] = result
                continue
            self._sizes[place], self._weights[place] = result
            found[result[0]] += 1
        if self.bad and not self._skip:
            raise _refusal(self._where, list(self.bad.values()))
        if not found:
            raise _nothing(self._where, self.bad)
        return found

    def decode(self, resize: Resize, values: ValueRange | None) -> tuple[Stack, ValueRange | None, Stored | None]:
        """Every measured item at one shape, in order; the range by which they were read; their values as stored.

        With the range "auto" they are decoded once more where all of them together show that they need another one.
        """
        kept = self._area.kept() or {}
        if kept.get("range"):
            values = parse_range(kept["range"])
        before = Stored(**kept["stored"]) if kept.get("stored") else None
        stack = self._decode(resize, values, before, kept)
        stored = before or stack.stored
        if self._options.range == "auto" and values is None and stored is not None:
            values = detect(stored)
            if values is not None:
                stack = self._decode(resize, values, stored, {})
        return stack, values, stored

    def _decode(
        self, resize: Resize, values: ValueRange | None, stored: Stored | None, kept: Mapping[str, Any]
    ) -> Stack:
        """stored: the values that an earlier pass found. kept: where to go on."""
        self.bad |= {int(place): _Bad(*about) for place, about in kept.get("bad", {}).items()}
        places = np.flatnonzero(self.good)
        stack = Stack(self._area, len(places), resize, self._options.channels)
        if kept:
            stack.restore(kept["stack"])
            places = places[places > int(kept["last"])]
        else:
            stack.open()
        # Closed at once on the way out, so that no thread or progress bar outlives an error.
        with closing(self._results(places, resize, values)) as results:
            for place, result in results:
                if isinstance(result, DecodedImage):
                    stack.add(result)
                elif self._skip:
                    self.bad[place] = result
                else:
                    raise _refusal(self._where, [result])
                if place % _CHUNK == 0:
                    self._area.keep(partial(self._state, stack, place, values, stored))
        if not len(stack):
            raise _nothing(self._where, self.bad)
        return stack

    def _state(self, stack: Stack, last: int, values: ValueRange | None, stored: Stored | None) -> dict[str, Any]:
        """Where to go on after the item `last`, as plain JSON."""
        return {
            "stack": stack.state(),
            "last": last,
            "range": str(values) if values else "",
            "stored": asdict(stored) if stored else None,
            "bad": {place: (one.name, one.reason) for place, one in self.bad.items()},
        }

    def _results(
        self, places: NDArray[np.int64], resize: Resize, values: ValueRange | None
    ) -> Generator[tuple[int, DecodedImage | _Bad], None, None]:
        """The items at `places` in order, each decoded; by threads where there is much to decode."""
        room = InFlight(_MOST_AT_ONCE)

        def work(place: int) -> DecodedImage | _Bad:
            with room.taking(int(self._weights[place])):
                return _attempt(self._items[place], lambda file: decode(file, resize, values))

        # Pillow lets go of the interpreter while it decodes, so threads do run side by side.
        pixels = int(self._sizes.astype(np.int64).prod(1).sum())
        workers = min(8, THREADS.room()) if pixels > _WORTH_THREADS else 1
        # The largest share one thread: an allocator keeps for each thread what that has given back.
        pool, alone = ThreadPoolExecutor(workers), ThreadPoolExecutor(1)
        try:
            with progress(f"reading {self._where}", len(places)) as advance:
                for start in range(0, len(places), _CHUNK):
                    chunk: list[int] = places[start : start + _CHUNK].tolist()
                    results: Iterable[DecodedImage | _Bad] = map(work, chunk)
                    if workers > 1:
                        large = [self._weights[place] > _LARGE for place in chunk]
                        futures = [(alone if big else pool).submit(work, place) for big, place in zip(large, chunk)]
                        results = (future.result() for future in futures)
                    for result in zip(chunk, results):
                        yield result
                        advance(1)
        finally:
            pool.shutdown(cancel_futures=True)
            alone.shutdown(cancel_futures=True)


def _measured(file: BinaryIO) -> tuple[tuple[int, int], int]:
    """(height, width) by the header, and what decoding weighs: pixels, and a quarter of the bytes."""
    height, width = peek(file)
    file.seek(0)
    shrinks = file.read(2) == JPEG  # while it is decoded
    return (height, width), height * width // (8 if shrinks else 1) + file.seek(0, os.SEEK_END) // 4


def _attempt(item: Item, use: Callable[[BinaryIO], T]) -> T | _Bad:
    """What `use` makes of the opened item, or why it cannot be used."""
    try:
        file = item.open()
    except Exception as error:  # a damaged .zip member raises what its compression happens to raise
        if lacks_memory(error):
            raise MemoryError(item.name) from error
        return _Bad(item.name, _reason(error))
    try:
        with file:
            return use(file)
    except BadImage as error:
        return _Bad(item.name, str(error))
    except OSError as error:  # of a disk or a network that gives no more of it
        if lacks_memory(error):
            raise MemoryError(item.name) from error
        return _Bad(item.name, _reason(error))


def _reason(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__)


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


def left_out(lost: tuple[str, ...]) -> tuple[str, ...]:
    """What to say of files that cannot be read and were left out."""
    if not lost:
        return ()
    return (f"{count(len(lost), 'file')} that cannot be read left out: {some(lost, _LISTED)}",)


def _check_classes(where: str, before: NDArray[np.int64], after: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    """A class whose files were all left out would be learnt from nothing."""
    gone = np.setdiff1d(before, after).tolist()
    if gone:
        names = some([printable(classes[place]) for place in gone])
        raise DataError(f"{where} has no readable image of {names}; fix or remove that class folder")
