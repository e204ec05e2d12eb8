"""Reference rows: real images measured as if they were samples, and the noise baseline.

    test           test images against the training images: the score of a perfect model
    train_halves   half of the training images against the other half: the same within one split
    noise          uniform noise against the training images: the noise baseline

They follow from the data, the feature space and the count alone, so they are kept in a cache. Only 2,000 images of each
row are searched for copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import WriteError
from fromnoise.common.files import read_regular, write_bytes
from fromnoise.common.leftovers import sweep
from fromnoise.common.seeds import generator
from fromnoise.common.stored_json import parse_object, signed, verified
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.limits import FEWEST
from fromnoise.evaluation.protocol import measurement
from fromnoise.evaluation.reference import Reference
from fromnoise.evaluation.scores import Scores, score
from fromnoise.metrics.memorization import Baseline, baseline_for_count, measure_baseline

SEARCHED = 2000
_MEASURED = 3  # another number with other measures in a row: rows kept by an earlier version are measured again
_MOST_BYTES = 256_000_000
_FEWEST_HALF = 6  # images that precision and recall can be measured with


@dataclass(frozen=True)
class ReferenceRows:
    """rows: Scores by name, None without such images. baseline: how near real images are to training images."""

    rows: Mapping[str, Scores | None]
    baseline: Baseline


def reference_rows(reference: Reference, test: ArrayData | None, count: int, cache_dir: Path) -> ReferenceRows:
    """The rows for `count` samples, of equally many images where there are that many; from `cache_dir` if kept there.

    A file that cannot be read is written again; a folder that cannot be written only costs time.
    """
    about = measurement(count, reference.data, test, reference.features, reference.mirrored)
    name = hashlib.sha256(json.dumps([_MEASURED, about], sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir / f"rows-{name}.npz"
    with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return _read(path, name)
    found = _measured(reference, test, count)
    sweep(cache_dir)
    with contextlib.suppress(WriteError):
        write_bytes(path, _written(found, name))
    return found


def _measured(reference: Reference, test: ArrayData | None, count: int) -> ReferenceRows:
    data, embed = reference.data, reference.features.of
    test_features = embed(test.images) if test is not None else None
    baseline = measure_baseline(data, reference.embedded, test, test_features, count=count, mirrored=reference.mirrored)

    def row(images: ArrayData, embedded: Tensor, against: Reference, near: Baseline) -> Scores:
        fitting = baseline_for_count(near, against.data, min(SEARCHED, len(images)))
        return score(images.images[:], images.labels, embedded, against, fitting, SEARCHED)[0]

    rows: dict[str, Scores | None] = {"test": None, "train_halves": None}
    part, part_features = _part_of_test(test, test_features, count)
    if part is not None and part_features is not None and len(part) >= FEWEST:
        rows["test"] = row(part, part_features, reference, baseline)
    order = torch.randperm(len(data), generator=generator(0, "training halves"))
    half = order[: len(data) // 2][:count]
    if len(half) >= _FEWEST_HALF:
        other = reference.subset(order[len(data) // 2 :])
        few = _part_of_test(test, test_features, SEARCHED)
        searched = min(SEARCHED, len(half))
        other_baseline = measure_baseline(other.data, other.embedded, *few, count=searched, mirrored=reference.mirrored)
        rows["train_halves"] = row(data.subset(half), reference.embedded[half], other, other_baseline)
    noise = _noise(data, count)  # only now: of many large images it takes as much memory as all the rest
    rows["noise"] = row(noise, embed(noise.images), reference, baseline)
    return ReferenceRows(rows, baseline)


def _part_of_test(
    data: ArrayData | None, embedded: Tensor | None, count: int
) -> tuple[ArrayData | None, Tensor | None]:
    """Up to `count` of the test images, always the same ones, and their features.

    In a random order, since copies are searched among the first of them, and files are often sorted by class.
    """
    if data is None or embedded is None:
        return data, embedded
    chosen = torch.randperm(len(data), generator=generator(0, "some test images"))[:count]
    return data.subset(chosen), embedded[chosen]


def _noise(like: ArrayData, count: int) -> ArrayData:
    """Images of independent, uniformly distributed grey levels."""
    g = generator(0, "noise pictures")
    images = torch.randint(0, 256, (count, *like.spec.shape), generator=g, dtype=torch.uint8)
    return ArrayData("noise", "", images, None, like.spec)


_NUMBERS = (
    "count",
    "duplicate_below",
    "copy_below",
    "copy_below_features",
    "test_rate",
    "test_rate_features",
    "mirrored",
)


def _written(found: ReferenceRows, name: str) -> bytes:
    """An .npz of the distances and, as text, everything else: with a checksum of both, and whose rows they are."""
    distances = found.baseline.distances.numpy()
    about = {
        "name": name,
        "distances": hashlib.sha256(distances.tobytes()).hexdigest(),
        "rows": {name: row.to_json() if row else None for name, row in found.rows.items()},
        "baseline": {name: getattr(found.baseline, name) for name in _NUMBERS},
    }
    buffer = io.BytesIO()
    np.savez(buffer, distances=distances, about=np.array(json.dumps(signed(about))))
    return buffer.getvalue()


def _read(path: Path, name: str) -> ReferenceRows:
    with np.load(io.BytesIO(read_regular(path, _MOST_BYTES)), allow_pickle=False) as kept:
        about: dict[str, Any] = verified(parse_object(str(kept["about"]).encode()))
        distances: Tensor = torch.from_numpy(kept["distances"])
    if about["name"] != name or about["distances"] != hashlib.sha256(distances.numpy().tobytes()).hexdigest():
        raise ValueError("these are other rows")
    rows = {name: about["rows"][name] for name in ("test", "train_halves", "noise")}
    found = {name: Scores.from_json(row) if row else None for name, row in rows.items()}
    return ReferenceRows(found, Baseline(distances=distances, **about["baseline"]))
