"""The scripts behind `make venv`: which Python, and which build of torch."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture(scope="module")
def setup() -> ModuleType:
    """scripts/setup_venv.py as a module."""
    spec = importlib.util.spec_from_file_location("setup_venv", SCRIPTS / "setup_venv.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Greeting(BaseHTTPRequestHandler):
    """Says hello to /here, and 404 to everything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/here" else 404)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: Any) -> None:
        pass


def test_an_index_that_answers_and_one_that_has_nothing(setup: ModuleType) -> None:
    with HTTPServer(("127.0.0.1", 0), Greeting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert setup.answers(f"{address}/here", 20)
        assert not setup.answers(f"{address}/gone", 20)
        server.shutdown()


def test_an_index_that_stays_silent(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> None:
        asked.set()
        release.wait(60)
        raise OSError

    monkeypatch.setattr(setup.urllib.request, "urlopen", silent)
    assert not setup.answers("https://silent.example", 0.2)
    assert asked.is_set() and not release.is_set(), "answers() came back while the other side was silent"
    release.set()


@pytest.mark.parametrize(
    ("platform", "driver", "reachable", "asked", "index"),
    [
        ("linux", False, True, "", "https://download.pytorch.org/whl/cpu"),
        ("linux", False, False, "", None),
        ("linux", True, True, "", None),
        ("darwin", False, True, "", None),
        ("win32", False, True, "", None),
        ("linux", False, True, "none", None),
        ("linux", True, True, "https://example.org/rocm", "https://example.org/rocm"),
    ],
)
def test_which_build_of_torch(
    setup: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    driver: bool,
    reachable: bool,
    asked: str,
    index: str | None,
) -> None:
    monkeypatch.setattr(setup.sys, "platform", platform)
    monkeypatch.setattr(setup, "has_nvidia_driver", lambda: driver)
    monkeypatch.setattr(setup, "answers", lambda url: reachable)
    monkeypatch.setenv("FROMNOISE_TORCH_INDEX", asked)
    found, why = setup.torch_index()
    assert found == index
    assert why


def test_a_folder_that_is_no_environment_is_left_alone(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SystemExit, match=re.escape(str(tmp_path))):
        setup.make(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.skipif(sys.platform == "win32", reason="make and sh are for Linux and macOS")
def test_a_python_is_found_by_running_it(tmp_path: Path) -> None:
    find = ["sh", str(SCRIPTS / "find-python.sh")]
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\necho 3.10\n')
    old.chmod(0o755)
    refused = subprocess.run([*find, str(old)], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stdout == ""
    assert "3.10" in refused.stderr and "3.11" in refused.stderr
    taken = subprocess.run([*find, sys.executable], capture_output=True, text=True)
    assert taken.returncode == 0
    assert Path(taken.stdout.strip()).samefile(sys.executable)


def test_constraints_bind_every_direct_dependency() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    root = SCRIPTS.parent
    pins = [line for line in (root / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins), "exact versions, none of them local (+cpu)"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(w for extra in project["optional-dependencies"].values() for w in extra)]
    names = {plain(re.match(r"[\w-]+", want)[0]) for want in wanted}  # type: ignore[index]
    assert names - {project["name"]} <= {plain(pin.partition("==")[0]) for pin in pins}
