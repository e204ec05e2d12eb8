"""One tiny trained run, shared by the tests that only look at it."""

from __future__ import annotations

import pytest

from fromnoise.run import Run

TINY = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 640,
    "train.train_batch_size": 64,
    "train.previews": 1,
    "train.heldout": 2,
    "train.log_every": 1,
    "sample.steps": 3,
}


@pytest.fixture(scope="session")
def tiny_settings():
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tiny"
    return Run.create("digits", output_dir=path, settings=TINY).train()
