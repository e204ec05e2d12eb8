"""Sets of images in numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fromnoise.data import DataOptions, load
from fromnoise.data.inspection import channel_values, inspect, sample_grid


def test_an_inspection_tells_what_is_there(folder: Callable[..., Path]) -> None:
    files: dict[str, object] = {f"train/{name}/{i}.png": (8, 8, 3) for name in "ab" for i in range(3)}
    root = folder({**files, "train/a/g.png": (8, 10, 1), "train/a/bad.png": b"", "test/a/1.png": (8, 8, 3)})
    found = inspect(DataOptions(source=str(root)))
    assert found.counts == {"train": 7, "test": 1}
    assert found.modes == {"RGB": 6, "L": 1} and found.sizes == {"8x8": 6, "8x10": 1}
    assert found.classes == {"a": 4, "b": 3} and found.shape == (3, 8, 8)
    assert len(found.bad) == 1 and found.bad[0].startswith("a/bad.png ")
    assert found.summary == "pictures: 7 images, 8x8 RGB, 2 classes"
    data = load(DataOptions(source=str(root), on_bad_image="skip"))
    assert found.fingerprint == data.fingerprint and found.notes == data.notes
    assert found.sample.shape == (7, 3, 8, 8) and found.sample_labels is not None
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["counts"]["test"] == 1 and len(plain["channels"]) == 3 and "sample" not in plain


def test_channel_values_are_exact() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(3, 250, (5000, 2, 3, 4), dtype=np.uint8))
    for place, channel in enumerate(channel_values(images)):
        values = images[:, place].double()
        assert (channel.min, channel.max) == (int(values.min()), int(values.max()))
        assert channel.mean == pytest.approx(float(values.mean()), rel=1e-12)
        assert channel.std == pytest.approx(float(values.std(correction=0)), rel=1e-9)


def test_the_sample_is_the_same_every_time() -> None:
    data = load(DataOptions(source="digits"))
    images, labels = sample_grid(data)
    again, _ = sample_grid(data)
    assert images.shape == (64, 1, 16, 16) and torch.equal(images, again)
    assert labels is not None and len(set(labels.tolist())) > 5
