"""What every test stands on: no network, a cache of its own, and real data where FROMNOISE_DATA has some."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fromnoise.common.cpus import affinity

# Equal bits need equal numbers of threads, whatever else runs here; torch reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", str(len(affinity())))

TINY = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 640,
    "train.train_batch_size": 64,
    "train.previews": 1,
    "train.validations": 2,
    "train.log_every": 1,
    "sample.steps": 3,
}
ZIP = "cifar10-jpeg-2500.zip"


@pytest.fixture(scope="session", autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is downloaded, and nothing is read from or left in the user's cache."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs so, and fromnoise leaves a signal that is ignored as it is.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FROMNOISE_OFFLINE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        if not os.environ.get("FROMNOISE_CACHE"):
            patch.setenv("FROMNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        if os.environ.get("FROMNOISE_DATA"):
            # Commands run in other folders must find it too.
            patch.setenv("FROMNOISE_DATA", str(Path(os.environ["FROMNOISE_DATA"]).resolve()))
        yield


def _shared(name: str) -> Path:
    root = os.environ.get("FROMNOISE_DATA")
    if not root:
        pytest.skip(f"FROMNOISE_DATA is not set, so there is no {name}")
    path = Path(root).resolve() / name
    if not path.exists():
        pytest.skip(f"there is no {path} in FROMNOISE_DATA")
    return path


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with MNIST's four IDX files, gzipped."""
    return _shared("mnist")


@pytest.fixture(scope="session")
def rgb_zip() -> Path:
    """A zip of 2,500 RGB JPEGs, 32x32, as train/<class>/<name>.jpg in ten classes."""
    return _shared(ZIP)


@pytest.fixture(scope="session")
def tiny_settings() -> dict[str, object]:
    """The settings of `tiny_run`."""
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory):
    """One tiny trained run, shared by the tests that only look at it."""
    from fromnoise.run import Run

    path = tmp_path_factory.mktemp("runs") / "tiny"
    return Run.create("digits", output_dir=path, settings=TINY).train()
