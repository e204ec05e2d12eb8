"""The rows that a figure is read beside: real images measured as if they were samples, and noise.

    test           test images against the training images: what a perfect model would get
    train_halves   half of the training images against the other half: the same, from one split
    noise          uniform noise against the training images: what nothing at all gets

They follow from the data, the space and the count alone, so they are kept in a cache. Copies among them are a matter
of course or of chance, so only 2,000 of each are searched for.
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
from fromnoise.common.files import write_bytes
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.protocol import measure
from fromnoise.evaluation.scores import Reference, Scores, score, subset
from fromnoise.metrics.memorization import Baseline, baseline_for_count, measure_baseline

SEARCHED = 2000
_FEWEST = 10  # images that make a row


@dataclass(frozen=True)
class RealRows:
    """rows: Scores by name, None without such images. usual: how near real images lie to training images."""

    rows: Mapping[str, Scores | None]
    usual: Baseline


def real_rows(reference: Reference, test: ArrayData | None, count: int, cache_dir: Path) -> RealRows:
    """The rows for `count` samples, at as many images where there are that many; from `cache_dir` if kept there.

    A file that cannot be read is made anew; a folder that cannot be written only costs time.
    """
    about = measure(count, reference.data, test, reference.features)
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir / f"rows-{name}.npz"
    with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        return _read(path)
    found = _measured(reference, test, count)
    with contextlib.suppress(WriteError):
        write_bytes(path, _written(found))
    return found


def _measured(reference: Reference, test: ArrayData | None, count: int) -> RealRows:
    data, of = reference.data, reference.features.of
    embedded = of(test.images) if test is not None else None
    usual = measure_baseline(data, reference.embedded, test, embedded, count=count)
    order = torch.randperm(len(data), generator=generator(0, "training halves"))
    half, other = order[: len(data) // 2][:count], reference.part(order[len(data) // 2 :])
    few = _some(test, embedded, SEARCHED)
    rare = measure_baseline(other.data, other.embedded, *few, count=min(SEARCHED, len(half)))
    noise = _noise(data, count)

    def row(pictures: ArrayData, theirs: Tensor, against: Reference, near: Baseline) -> Scores:
        fitting = baseline_for_count(near, against.data, min(SEARCHED, len(pictures)))
        return score(pictures.images, pictures.labels, theirs, against, fitting, SEARCHED)[0]

    rows: dict[str, Scores | None] = {"test": None}
    some, theirs = _some(test, embedded, count)
    if some is not None and theirs is not None and len(some) >= _FEWEST:
        rows["test"] = row(some, theirs, reference, usual)
    rows["train_halves"] = row(subset(data, half), reference.embedded[half], other, rare)
    rows["noise"] = row(noise, of(noise.images), reference, usual)
    return RealRows(rows, usual)


def _some(data: ArrayData | None, embedded: Tensor | None, count: int) -> tuple[ArrayData | None, Tensor | None]:
    """Up to `count` of the test images, always the same ones, and their features."""
    if data is None or embedded is None or count >= len(data):
        return data, embedded
    chosen = torch.randperm(len(data), generator=generator(0, "some test images"))[:count]
    return subset(data, chosen), embedded[chosen]


def _noise(like: ArrayData, count: int) -> ArrayData:
    """Pictures whose every pixel is any grey level."""
    g = generator(0, "noise pictures")
    images = torch.randint(0, 256, (count, *like.spec.shape), generator=g, dtype=torch.uint8)
    return ArrayData("noise", "", images, None, like.spec)


_PLAIN = ("count", "duplicate_below", "copy_below", "copy_below_features", "test_rate", "test_rate_features")


def _written(found: RealRows) -> bytes:
    """An .npz of the distances and, as text, everything else."""
    about = {
        "rows": {name: row.to_json() if row else None for name, row in found.rows.items()},
        "usual": {name: getattr(found.usual, name) for name in _PLAIN},
    }
    buffer = io.BytesIO()
    np.savez(buffer, distances=found.usual.distances.numpy(), about=np.array(json.dumps(about)))
    return buffer.getvalue()


def _read(path: Path) -> RealRows:
    with np.load(path, allow_pickle=False) as kept:
        about: dict[str, Any] = json.loads(str(kept["about"]))
        distances: Tensor = torch.from_numpy(kept["distances"])
    rows = {name: about["rows"][name] for name in ("test", "train_halves", "noise")}
    found = {name: Scores.from_json(row) if row else None for name, row in rows.items()}
    return RealRows(found, Baseline(distances=distances, **about["usual"]))
