"""A studio on one tiny run: as an application, and as a process that listens."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra studio is not installed")
pytest.importorskip("uvicorn", reason="the extra studio is not installed")

from starlette.testclient import TestClient

from fromnoise.cli import main
from fromnoise.studio.app import build_app
from fromnoise.studio.security import Access

SHIFTS = """new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted = (window.shifted || 0) + one.value;
}).observe({ type: "layout-shift", buffered: true })"""
ACCESS = Access(frozenset({"127.0.0.1", "localhost"}), 8420, "t0ken" * 5)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Served:
    """A studio that listens."""

    address: str
    port: int
    process: subprocess.Popen[str]


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Served]:
    """`fromnoise studio` on `folder`, ended at the end."""
    port = free_port()
    command = [sys.executable, "-m", "fromnoise", "studio", str(folder), "--no_browser", "--port", str(port), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        yield Served(line.split()[-1], port, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="session")
def root(tiny_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the tiny run."""
    folder = tmp_path_factory.mktemp("studio")
    shutil.copytree(tiny_run.path, folder / "digits-tiny")
    return folder


@pytest.fixture
def access() -> Access:
    """Who may do what in the studio of `client`."""
    return ACCESS


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """Gives a client of the studio on a folder; `known` is one whose browser has the token."""

    def client(folder: Path, known: bool = False, access: Access = ACCESS) -> TestClient:
        made = TestClient(build_app(folder, access), base_url="http://127.0.0.1:8420", follow_redirects=False)
        if known:
            made.cookies.set(access.cookie, access.token)
        return made

    return client


@pytest.fixture
def client(client_of: Callable[..., TestClient], root: Path) -> TestClient:
    """A client of the studio on `root`, without the token."""
    return client_of(root)


@pytest.fixture(scope="session")
def serving_on() -> Callable[..., AbstractContextManager[Served]]:
    """`serving`, for tests that need a studio of their own."""
    return serving


@pytest.fixture(scope="session")
def served(root: Path) -> Iterator[Served]:
    """The studio on `root`, listening."""
    if os.name == "nt":
        pytest.skip("signals end it in this test")
    with serving(root) as found:
        yield found


@pytest.fixture
def ask(client_of, root):
    """Posts a wish to the one run."""
    client = client_of(root, known=True)
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"
    headers = {"origin": "http://127.0.0.1:8420"}
    return lambda action, body: client.post(f"{place}/{action}", json=body, headers=headers)


@pytest.fixture
def how():
    """The fields of every wish of a page that samples."""
    return {
        "page": "0123456789abcdef",
        "checkpoint": "last",
        "weights": "ema",
        "label": [],
        "conditions": {},
        "sampler": "ddim",
        "grid": "auto",
        "steps": 3,
        "guidance_scale": 1.0,
        "guidance_interval": [],
    }


@pytest.fixture
def by_command(monkeypatch, tmp_path_factory):
    """by_command(command): the file that a command of the page writes, or the images of a folder in their order."""

    def made(command: str) -> bytes | list[bytes]:
        words, folder = shlex.split(command), tmp_path_factory.mktemp("command")
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            assert words[0] == "fromnoise" and main(words[1:]) == 0
        out = folder / words[-1]
        return [path.read_bytes() for path in sorted(out.glob("0*.png"))] if out.is_dir() else out.read_bytes()

    return made


@pytest.fixture
def open_page(browser, served):
    """Opens the studio; in the end nothing was complained about, and nothing has moved."""
    opened = []

    def open_one(address="", **context):
        page = browser.new_context(**context).new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        own = (address or served.address).partition("?")[0]
        page.on("request", lambda one: None if one.url.startswith(own) else page.said.append(one.url))
        page.add_init_script(SHIFTS)
        page.goto(address or served.address)
        opened.append(page)
        return page

    yield open_one
    for page in opened:
        page.wait_for_timeout(100)
        shifted = page.evaluate("window.shifted || 0")
        assert page.said == [] and shifted < 0.1
        page.context.close()


@pytest.fixture
def expect():
    return pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def hinders(axe):
    """hinders(page): what axe-core finds that keeps somebody from using a page."""

    def found(page):
        page.evaluate(axe)
        run = "axe.run().then((result) => result.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))"
        return [one for one in page.evaluate(run) if one[0] in ("serious", "critical")]

    return found


@pytest.fixture
def of_run():
    """of_run(page): goes from the table to the page of the one run."""

    def go(page):
        page.get_by_role("link", name="digits-tiny").click()
        page.wait_for_selector(".chart .legend li")

    return go
