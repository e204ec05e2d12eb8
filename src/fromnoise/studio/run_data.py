"""The images of a run as `fromnoise data inspect` describes them, and grids of them by class."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from fromnoise.common.errors import DataError, UsageError
from fromnoise.data.inspection import inspect
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.run.folder import RunFolder
from fromnoise.run.opened import OpenedRun

IMAGES = 48  # in a grid
_KEPT = 2  # sets of images in memory
_CHUNK = 4096


class RunData:
    """The images of the runs that were looked at last, by their settings and fingerprint."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[Any, ...], OpenedRun] = OrderedDict()
        self._found: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._means: dict[tuple[Any, ...], torch.Tensor] = {}

    def inspection(self, folder: RunFolder) -> dict[str, Any]:
        """What `fromnoise data inspect --json` prints of the images of the run; DataError where they are gone.

        With `training`: how many of them the run trains on, in all and of each class, `validation`: how many not, and
        `class_names` in the order of labels, which the keys of an object do not keep.
        """
        key, run = self._opened(folder)
        if key not in self._found:
            self._found[key] = inspect(run.settings.data).to_json()
        seen, apart = run.data, run.held_out
        return {
            **self._found[key],
            "training": [len(seen), *seen.label_counts.tolist()],
            "validation": 0 if apart is None else len(apart),
            "class_names": list(seen.spec.classes),
        }

    def figure(self, folder: RunFolder, label: int | None, page: int) -> bytes:
        """A grid of training images as PNG: those of a class, or all, IMAGES at a time."""
        data = self._opened(folder)[1].data
        places = self._places(data, label)[page * IMAGES : (page + 1) * IMAGES]
        if not len(places):
            raise UsageError(f"page {page} was asked for, but these images end before it; give a smaller one")
        return png_bytes(grid(data.fetch(places)[0].permute(0, 2, 3, 1).numpy()))

    @staticmethod
    def _places(data: Any, label: int | None) -> torch.Tensor:
        if label is None:
            return torch.arange(len(data))
        if data.labels is None or not 0 <= label < len(data.spec.classes):
            raise UsageError(f"class number {label} was asked for, but these images lack it; choose a listed one")
        places: torch.Tensor = (data.labels == label).nonzero().flatten()
        return places

    def run(self, folder: RunFolder) -> OpenedRun:
        """The run in `folder`, with its images; DataError where they are gone."""
        return self._opened(folder)[1]

    def mean(self, folder: RunFolder) -> torch.Tensor | None:
        """The mean training image, float (C, H, W) of 0 to 255; None where the images are gone."""
        try:
            key, run = self._opened(folder)
        except DataError:
            return None
        if key not in self._means:
            images, total = run.data.images, torch.zeros(run.spec.shape, dtype=torch.float64)
            for start in range(0, len(images), _CHUNK):
                total += images[start : start + _CHUNK].sum(0, dtype=torch.float64)
            self._means[key] = (total / len(images)).float()
        return self._means[key]

    def _opened(self, folder: RunFolder) -> tuple[tuple[Any, ...], OpenedRun]:
        """The run with its images, read once."""
        run = OpenedRun(folder, device="cpu")
        key = (repr(run.settings.data), run.metadata["data"]["fingerprint"])
        if key not in self._runs:
            _ = run.data
            self._runs[key] = run
            while len(self._runs) > _KEPT:
                old = self._runs.popitem(last=False)[0]
                self._found.pop(old, None)
                self._means.pop(old, None)
        self._runs.move_to_end(key)
        return key, self._runs[key]
