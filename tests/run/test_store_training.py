"""A training out of a store is that out of memory, bit for bit, and so is what measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fromnoise.data.rows import Rows
from fromnoise.run import Run

SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 192,
    "train.train_batch_size": 32,
    "train.previews": 1,
    "train.validations": 2,
    "train.log_every": 1,
    "data.random_flip": True,
    "sample.steps": 2,
}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_weights_are_the_same(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8, channels), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images[..., 0] if channels == 1 else images, labels=np.arange(80) % 2)
    weights, records, losses = [], [], []
    for store in ("never", "always"):
        settings: dict[str, Any] = SETTINGS | {"data.store": store}
        run = Run.create(str(tmp_path / "noise.npz"), output_dir=tmp_path / store, settings=settings, device="cpu")
        assert isinstance(run.data.images, Rows) == (store == "always")
        run.train()
        weights.append(run.model().denoiser.net.state_dict())
        records.append({name: run.metadata[name] for name in ("sigma_data", "spec", "parameters")})
        records[-1]["fingerprint"] = run.metadata["data"]["fingerprint"]
        lines = run.folder.read_metrics()
        losses.append([line["loss"] for line in lines if "loss" in line])
        assert any("data_wait" in line for line in lines) == (store == "always")
    assert records[0] == records[1] and losses[0] == losses[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
