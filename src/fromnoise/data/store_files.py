"""The images of one split as files in a folder, and how they are read back: whole, or refused.

store.json        shape, classes, notes, digests, and the SHA-256 of all of that
pixels-C.u8       uint8 (N, C, H, W)
labels.i8         int64 (N,), little-endian, where there are labels
conditions.f4     float32 (K, N), little-endian, where there are conditions
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.files import write_through
from fromnoise.common.progress import progress
from fromnoise.common.stored_json import CHECKSUM, read_stored, signed, write_stored
from fromnoise.common.text import printable
from fromnoise.data.mapped import identity, map_pixels
from fromnoise.data.remembered import remembered
from fromnoise.data.source import MODES, SourceImages
from fromnoise.data.store_area import JOURNAL, Folder

MANIFEST, LABELS, CONDITIONS = "store.json", "labels.i8", "conditions.f4"
_FORMAT = 1
_LARGEST = 2**14  # pixels of a side


class Damaged(Exception):
    """What is wrong with a stored split, as the end of a sentence that begins with its name."""


def write_split(area: Folder, found: SourceImages, planes: bool) -> None:
    """Write all that goes with the pixels that `area` has finished.

    planes: see `_view`.
    """
    labels = None if found.labels is None else _write(area.folder / LABELS, found.labels.astype("<i8").tobytes())
    conditions = {}
    if found.conditions:
        content = np.stack(list(found.conditions.values())).astype("<f4").tobytes()
        digest = _write(area.folder / CONDITIONS, content)
        conditions = {"conditions": {"names": list(found.conditions), "digest": digest}}
    manifest = {
        "format": _FORMAT,
        "shape": [area.number, *area.shape],
        "planes": planes,
        "block": area.block,
        "digests": area.digests,
        "labels": labels,
        **conditions,
        "classes": list(found.classes),
        "notes": list(found.notes),
        "modes": dict(found.modes),
        "sizes": dict(found.sizes),
        "bad": list(found.bad),
        "range": found.range,
        "written": area.pixels.stat().st_mtime_ns,
    }
    write_stored(area.folder / MANIFEST, manifest, durable=True)
    (area.folder / JOURNAL).unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> str:
    """Write a file that goes with the pixels; returns its digest."""
    write_through(path, content)
    return hashlib.sha256(content).hexdigest()


def read_split(folder: Path) -> SourceImages:
    """The images of a split, mapped; Damaged where they are not those that were written."""
    try:
        manifest = read_stored(folder / MANIFEST)
        return _checked(folder, manifest)
    except OSError as error:
        raise Damaged(f"lacks {printable(Path(error.filename or folder).name)} ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Damaged(f"has a damaged {MANIFEST} ({printable(str(error))})") from error


def _checked(folder: Path, manifest: Mapping[str, Any]) -> SourceImages:
    if manifest["format"] != _FORMAT:
        raise ValueError(f"its format is {manifest['format']}, but this version reads {_FORMAT}")
    number, channels, height, width = (int(size) for size in manifest["shape"])
    if number < 1 or channels not in MODES or not 1 <= min(height, width) <= max(height, width) <= _LARGEST:
        raise ValueError(f"its shape is {manifest['shape']}")
    pixels = folder / f"pixels-{channels}.u8"
    about, size = pixels.stat(), number * channels * height * width
    if not pixels.is_file() or about.st_size != size:
        raise Damaged(f"has {about.st_size:,} bytes in {pixels.name}, but expected {size:,}")
    images = map_pixels(pixels, (number, channels, height, width))
    if about.st_mtime_ns != manifest["written"]:
        _check_blocks(images, manifest, pixels.name)
    classes = tuple(printable(str(name)) for name in manifest["classes"])
    return SourceImages(
        _view(images, bool(manifest["planes"])),
        None if manifest["labels"] is None else _labels(folder / LABELS, number, manifest["labels"], classes),
        classes,
        tuple(printable(str(note)) for note in manifest["notes"]),
        _counts(manifest["modes"]),
        _counts(manifest["sizes"]),
        tuple(printable(str(name)) for name in manifest["bad"]),
        str(manifest["range"]),
        _conditions(folder / CONDITIONS, number, manifest.get("conditions")),
    )


def _view(images: NDArray[np.uint8], planes: bool) -> NDArray[np.uint8]:
    """The images as (N, H, W, C).

    planes: whether grey ones are strided like an array (N, H, W), not like one (N, H, W, 1): networks choose their
    kernels by that, so it has to be as it would be in memory.
    """
    number, channels, height, width = images.shape
    return images.reshape(number, height, width, 1) if channels == 1 and not planes else images.transpose(0, 2, 3, 1)


def _counts(table: Mapping[str, Any]) -> Counter[str]:
    return Counter({printable(str(name)): int(number) for name, number in table.items()})


def _whole(path: Path, size: int, digest: str) -> bytes:
    """The content of a file of `size` bytes; Damaged where it is not what was written."""
    if path.stat().st_size != size:
        raise Damaged(f"has {path.stat().st_size:,} bytes in {path.name}, but expected {size:,}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"has a damaged {path.name}")
    return content


def _conditions(path: Path, number: int, about: Mapping[str, Any] | None) -> dict[str, NDArray[np.float32]]:
    if about is None:
        return {}
    names = [str(name) for name in about["names"]]
    content = _whole(path, 4 * number * len(names), about["digest"])
    values = np.frombuffer(content, dtype="<f4").reshape(len(names), number).astype(np.float32)
    if np.isinf(values).any():
        raise ValueError("it has a condition that is not finite")
    return dict(zip(names, values))


def _labels(path: Path, number: int, digest: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    labels = np.frombuffer(_whole(path, 8 * number, digest), dtype="<i8").astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"it has label {labels.max()}, but names {len(classes)} classes")
    return labels


def _check_blocks(images: NDArray[np.uint8], manifest: Mapping[str, Any], name: str) -> None:
    """Damaged where a block is not what was written; looked at once for each copy of the file."""
    block, digests = int(manifest["block"]), manifest["digests"]
    if block < 1 or len(digests) != -(-len(images) // block):
        raise ValueError(f"it has {len(digests)} digests")

    def first_wrong() -> int:
        wrong = (place for place, digest in enumerate(_digests(images, block, name)) if digest != digests[place])
        return next(wrong, -1)

    place = remembered(identity(images), f"first wrong block of {signed(manifest)[CHECKSUM]}", first_wrong)
    if place >= 0:
        last = min((place + 1) * block, len(images)) - 1
        raise Damaged(f"has damaged images {place * block:,} to {last:,} in {name}")


def _digests(images: NDArray[np.uint8], block: int, name: str) -> Iterator[str]:
    with progress(f"checking {name}", len(images)) as advance:
        for start in range(0, len(images), block):
            part = images[start : start + block]
            yield hashlib.sha256(part.data).hexdigest()
            advance(len(part))
