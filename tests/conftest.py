"""What every test stands on: no network, a cache of its own, and real data where FROMNOISE_DATA has some."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import ModuleType

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
AXE = "axe-core@4.14.1"
CHROMIUM = shutil.which("chromium")
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]


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


@pytest.fixture(scope="module")
def benchmark_module() -> Iterator[Callable[[str], ModuleType]]:
    """benchmark_module("choices"): a file of benchmarks/, imported as they import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "benchmarks"))
        yield importlib.import_module


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory):
    """One tiny trained run, shared by the tests that only look at it."""
    from fromnoise.run import Run

    path = tmp_path_factory.mktemp("runs") / "tiny"
    return Run.create("digits", output_dir=path, settings=TINY).train()


@pytest.fixture(scope="session")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """python_with("a b"): the python of an environment that has these packages, and everything else from here."""

    def make(packages: str) -> Path:
        home = tmp_path_factory.mktemp("venv")
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", home], check=True, timeout=200)
        python: Path = home / "bin" / "python"
        (site,) = home.glob("lib/python*/site-packages")
        (site / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        command = [python, "-m", "pip", "install", "--quiet", *packages.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"{packages} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        return python

    return make


@pytest.fixture(scope="session")
def npm_package(tmp_path_factory) -> Callable[[str], Path]:
    """npm_package("NAME@VERSION"): the package as npm packs it."""

    def fetch(name: str) -> Path:
        if not shutil.which("npm"):
            pytest.skip("npm is not installed")
        folder = tmp_path_factory.mktemp("npm")
        command = ["npm", "pack", "--silent", name]
        got = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if got.returncode:
            pytest.skip(f"npm could not fetch {name}: {got.stderr.strip()[-200:]}")
        return folder / got.stdout.strip().splitlines()[-1]

    return fetch


@pytest.fixture(scope="session")
def axe(npm_package: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script."""
    folder = tmp_path_factory.mktemp("axe")
    shutil.unpack_archive(npm_package(AXE), folder)
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")  # no longer: while it runs, other tests of the thread can have no event loop
def browser():
    """Chromium, headless."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture
def third_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """third_write(error): the third file that is written from now on ends with `error`."""

    def end_with(error: BaseException) -> None:
        real, numbers = Path.write_bytes, count(1)

        def write(path: Path, content: bytes) -> int:
            if next(numbers) == 3:
                real(path, content[:10])
                raise error
            return real(path, content)

        monkeypatch.setattr(Path, "write_bytes", write)

    return end_with


@pytest.fixture
def run_processes(tmp_path: Path) -> Callable[..., list[int]]:
    """run_processes(work, world, *arguments): calls work(group, *arguments) in so many processes that have joined.

    They are forked, so that they start at once, and meet through a file, not a port. Returns their exit codes.
    """
    made = []

    def run(work: Callable[..., object], world: int, *arguments: object) -> list[int]:
        made.append(world)
        sys.stdout.flush()
        pids = []
        for rank in range(world):
            pid = os.fork()
            if pid == 0:
                _work_and_exit(work, rank, world, tmp_path / f"store-{len(made)}", arguments)
            pids.append(pid)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    return run


def _work_and_exit(work: Callable[..., object], rank: int, world: int, store: Path, arguments: tuple[object, ...]):
    """In a forked process: join the others, call `work`, and never return."""
    import torch
    import torch.distributed as dist

    from fromnoise.train.distributed import join

    code = 1
    try:
        torch.set_num_threads(1)  # other threads of the process that was forked are not here
        dist.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
        )
        work(join(), *arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
