"""Parquet and Arrow tables in files: the images of a folder of the same pictures, streamed into a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import DataError
from fromnoise.data import load

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 8, 9, 3), dtype=np.uint8)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., bytes]) -> Any:
    """Twelve pictures with class labels, as the hub's library holds them."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    cells = [{"bytes": encoded(Image.fromarray(picture)), "path": None} for picture in PICTURES]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    return datasets.Dataset.from_dict({"image": cells, "label": [i % 2 for i in range(12)]}, features=features)


def same(path: Path, places: slice = slice(None), split: Any = "train") -> None:
    data = load(path, split, holdout=0.0)
    assert torch.equal(data.images[:], torch.from_numpy(PICTURES[places]).permute(0, 3, 1, 2))


def test_shards_with_their_splits(table: Any, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    (folder / "data").mkdir(parents=True)
    for name, places in (("train-00000-of-00002", range(5)), ("train-00001-of-00002", range(5, 9))):
        table.select(places).to_parquet(folder / "data" / f"{name}.parquet")
    table.select(range(9, 12)).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    same(folder, slice(9))
    same(folder, slice(9, 12), "test")
    data = load(folder)
    assert data.name == "shards" and data.spec.classes == ("cat", "dog")
    assert data.labels is not None and data.labels.tolist() == [i % 2 for i in range(9)]
    assert main(["data", "import", str(folder), "--out", str(tmp_path / "store")]) == 0
    assert load(tmp_path / "store").fingerprint == data.fingerprint


def test_a_file_and_what_was_saved_to_disk(table: Any, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "one.parquet")
    same(tmp_path / "one.parquet")
    table.save_to_disk(tmp_path / "saved")
    same(tmp_path / "saved")


def test_tables_that_say_nothing_of_images(table: Any, tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files = [encoded(Image.fromarray(picture)) for picture in PICTURES]
    for name, cells in {"bare": files, "cells": [{"bytes": file, "path": None} for file in files]}.items():
        parquet.write_table(arrow.table({"png": cells}), tmp_path / f"{name}.parquet")
        same(tmp_path / f"{name}.parquet")
    parquet.write_table(arrow.table({"number": [1, 2]}), tmp_path / "numbers.parquet")
    with pytest.raises(DataError, match="number"):
        load(tmp_path / "numbers.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet"):
        load(tmp_path / "broken.parquet")


def test_changed_shards_make_another_store(table: Any, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "one.parquet")
    assert len(load(tmp_path / "one.parquet", store="always", holdout=0.0)) == 12
    table.select(range(7)).to_parquet(tmp_path / "one.parquet")
    assert len(load(tmp_path / "one.parquet", store="always", holdout=0.0)) == 7
