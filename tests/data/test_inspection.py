"""Sets of images in numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli.data import inspection_lines
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
    assert found.fingerprint == data.fingerprint
    assert found.notes == tuple(note for note in data.notes if "bad.png" not in note) != data.notes
    assert found.sample.shape == (7, 3, 8, 8) and found.sample_labels is not None
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["counts"]["test"] == 1 and len(plain["channels"]) == 3 and "sample" not in plain
    assert [one["text"] for one in plain["remarks"]] == plain["notes"]
    assert {one["kind"] for one in plain["remarks"]} >= {"resized", "converted"}


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


def test_what_cannot_be_read_is_listed_once(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.webp").write_bytes(b"nothing")
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number}.png")
    found = inspect(DataOptions(source=str(tmp_path)))
    assert len(found.bad) == 40 and not any(".webp" in note for note in found.notes)
    lines = list(inspection_lines(found))
    assert sum(".webp" in line for line in lines) == 12 and "28" in lines[-1]


@pytest.mark.parametrize(
    "kind, note", [(np.int16, "16-bit"), (np.uint16, "16-bit"), (np.bool_, None), (np.int64, None)]
)
def test_arrays_are_described_by_what_they_were(tmp_path: Path, kind: type, note: str | None) -> None:
    images = np.random.default_rng(0).integers(0, 256 if note is None else 4000, (30, 8, 8))
    np.savez(tmp_path / "a.npz", images=(images > 99) if kind is np.bool_ else images.astype(kind))
    found = inspect(DataOptions(source=str(tmp_path / "a.npz")))
    said = " ".join(found.notes)
    assert "uint16" not in said and ("converted" in said) == (note is not None) and (note or "") in said
    if kind is np.bool_:
        assert "range" not in said and (found.channels[0].min, found.channels[0].max) == (0, 255)
