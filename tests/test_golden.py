"""Numbers of tiny runs that must not change: three recipes, three samplers each, in float32 with one thread.

Whoever changes a value on purpose says so in the commit, and writes tests/golden/values.json again from what this test
measures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fromnoise.run import Run

STORED: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "values.json").read_text(encoding="utf-8"))
SETTINGS: dict[str, dict[str, Any]] = {
    "default-tiny": {"train.num_images": 256, "train.train_batch_size": 64, "net.width": 8},
    "ddpm": {"train.num_images": 64, "train.train_batch_size": 32, "net.channels": (32, 32, 32)},
    "chapter-basic": {"train.num_images": 256},
}
COMMON = {"train.mixed_precision": "no", "train.previews": 0, "train.log_every": 1}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums over threads depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("recipe", STORED)
def test_tiny_runs_have_the_stored_losses_weights_and_samples(recipe: str, tmp_path: Path) -> None:
    settings = {**SETTINGS[recipe], **COMMON}
    run = Run.create("digits", recipe=recipe, output_dir=tmp_path / "run", settings=settings, device="cpu").train()
    stored = STORED[recipe]
    losses = [line["loss"] for line in run.folder.read_metrics() if "step" in line]
    assert losses == pytest.approx(stored["losses"], abs=1e-5)
    weights = load_file(run.checkpoint() / "model.safetensors")
    flat = torch.cat([value.double().flatten() for _, value in sorted(weights.items())])
    assert float(flat.square().mean().sqrt()) == pytest.approx(stored["weights_rms"], abs=1e-5)
    assert float(flat.mean()) == pytest.approx(stored["weights_mean"], abs=1e-5)
    for sampler in (name for name in stored if isinstance(stored[name], dict)):
        model = run.model(sampler=sampler, steps=6)
        *_, last = model.steps(range(4), model.labels(range(4)))
        x = last.x.double()
        found = {"mean": float(x.mean()), "rms": float(x.square().mean().sqrt()), "pixel": float(x[3, 0, 8, 8])}
        assert found == pytest.approx(stored[sampler], abs=1e-5), sampler
