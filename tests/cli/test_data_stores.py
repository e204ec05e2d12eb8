"""`fromnoise data import`, `list` and `prune`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from fromnoise.cli import main
from fromnoise.data import load, store_area
from fromnoise.data.stored import stores_folder


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "noise.npz"
    np.savez(
        path,
        x_train=np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8),
        x_test=np.full((9, 8, 8), 9, np.uint8),
    )
    return str(path)


def test_import_writes_data(images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small"
    words = ["data", "import", images, "--out", str(out), "--resolution", "6", "--set", "data.range=full"]
    assert main(words) == 0 and capsys.readouterr().out.strip() == str(out)
    plain = load(images, resolution="6", range="full")
    assert load(out).fingerprint == plain.fingerprint and len(load(out, "test")) == 9
    assert not stores_folder().exists() and main(words) == 0
    assert main(["data", "import", images, "--out", str(out)]) == 2
    assert main(["data", "import", images, "--out", str(tmp_path)]) == 2
    assert main(["data", "import", str(tmp_path / "nothing"), "--out", str(tmp_path / "new")]) == 3
    assert main(["data", "import", images, "--out", "/proc/new"]) == 6
    assert not (tmp_path / "new").exists()


def test_stores_are_listed_and_removed(
    images: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(images, store="always")
    load(images, store="always", resolution="6")
    load(images, "test", store="always", resolution="6")
    os.utime(next(stores_folder().glob("*/fromnoise-store.json")), (0, 0))
    assert main(["data", "list"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(images)]
    assert len(lines) == 2 and all(line.startswith("noise ") and "30 train" in line for line in lines)
    assert "today" in lines[0] and "days ago" in lines[1] and sum("9 test" in line for line in lines) == 1
    assert main(["data", "list", "--json"]) == 0
    stores = [one["store"] for one in json.loads(capsys.readouterr().out) if "store" in one]
    assert {tuple(one["images"].values()) for one in stores} == {(30,), (30, 9)}
    assert min(one["bytes"] for one in stores) > 30 * 36
    assert main(["data", "prune"]) == 2 and len(list(stores_folder().iterdir())) == 2
    for answer in ("n\n", "", "\n"):  # "": Ctrl-D
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        assert main(["data", "prune"]) == 0 and len(list(stores_folder().iterdir())) == 2
    with FileLock(Path(stores[0]["path"]) / "import.lock"):
        assert main(["data", "prune", "--yes"]) == 0
        assert [str(path) for path in stores_folder().iterdir()] == [stores[0]["path"]]
    assert main(["data", "prune", "--yes"]) == 0 and not list(stores_folder().iterdir())
    assert main(["data", "prune"]) == 0


def test_an_import_that_fails_leaves_nothing_behind(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_area, "disk_free", lambda folder: 100)
    assert main(["data", "import", images, "--out", str(tmp_path / "out")]) == 6
    assert "--out" in capsys.readouterr().err
    assert main(["data", "inspect", images, "--set", "data.store=always"]) == 6
    assert "FROMNOISE_CACHE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and not list(stores_folder().iterdir())


def test_who_waited_for_an_import_that_left_nothing_makes_its_own(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    holding = (
        "import filelock, pathlib, sys\nlock = filelock.FileLock(sys.argv[1])\nlock.acquire()\nprint(flush=True)\n"
        "sys.stdin.read()\npath = pathlib.Path(sys.argv[1])\npath.unlink()\npath.parent.rmdir()"
    )
    words = [sys.executable, "-c", holding, str(out / "import.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout and other.stdout.readline()
        threading.Timer(0.5, other.stdin.close).start()
        assert main(["data", "import", images, "--out", str(out)]) == 0
    assert "waiting" in capsys.readouterr().err and len(load(out)) == 30
