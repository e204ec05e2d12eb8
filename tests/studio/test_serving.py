"""The verb: where it listens, what it prints, and how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from fromnoise.cli import main
from fromnoise.studio import serving as module
from fromnoise.studio.index import RunIndex
from fromnoise.studio.tools import Tools

SMALL = ["--set", "net.width=8", "--set", "net.depth=1", "--set", "train.validations=0", "--previews", "0"]


def test_the_address_is_the_last_word_and_opens(served):
    assert served.address.startswith(f"http://127.0.0.1:{served.port}/")
    jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with jar.open(served.address, timeout=10) as answer:
        assert answer.url == f"http://127.0.0.1:{served.port}/" and b"<html" in answer.read()


def test_a_port_that_is_taken_is_named_with_the_next(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["studio", str(tmp_path), "--no_browser", "--port", str(port)]) == 8
    said = capsys.readouterr().err
    assert str(port) in said and "--port" in said and "\n" not in said.strip()


def test_without_a_port_the_next_free_one_is_taken(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(module, "PORT", taken.getsockname()[1])
        with module.listen(module.Place()) as found:
            assert found.getsockname()[1] > taken.getsockname()[1]


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "0.0.0.0"],
        ["--host", "0.0.0.0", "--token", "short"],
        ["--host", "0.0.0.0", "--token", "no spaces in a token"],
        ["--host", "192.0.2.1", "--token", "a" * 20],
        ["--host", "no.such.host.invalid", "--token", "a" * 20],
        ["--port", "0"],
        ["--port", "70000"],
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path, capsys, flags):
    assert main(["studio", str(tmp_path), "--no_browser", *flags]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_file_is_no_folder_of_runs(tmp_path):
    (tmp_path / "file").touch()
    assert main(["studio", str(tmp_path / "file"), "--no_browser"]) == 2


def test_a_browser_that_is_waited_for_does_not_hold_it_up(tmp_path, monkeypatch, capsys):
    """One in the terminal, which shows the page before `open` returns."""
    shown = threading.Event()
    monkeypatch.setattr("webbrowser.open", lambda address: shown.wait(30))
    monkeypatch.setattr(module, "serve", lambda folder, place, announce, until: (announce("there"), shown.set()))
    began = time.monotonic()
    assert main(["studio", str(tmp_path)]) == 0 and time.monotonic() - began < 20
    assert main(["studio", "x" * 300]) == 0 and "there" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_with_a_stream_open(root, serving_on, number):
    with serving_on(root) as served:
        stream = urllib.request.urlopen(f"http://127.0.0.1:{served.port}/api/runs/live", timeout=10)
        assert stream.readline() == b"event: runs\n"
        began = time.monotonic()
        served.process.send_signal(number)
        assert served.process.wait(10) == 128 + number and time.monotonic() - began < 5


def test_a_training_outlives_a_studio_that_is_killed(tmp_path, serving_on):
    root = tmp_path / "runs"
    with serving_on(root) as served:
        origin = f"http://127.0.0.1:{served.port}"
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(served.address, timeout=10).close()
        wish = {"data": "digits", "recipe": "default-tiny", "budget": "", "epochs": 2, "seed": 1, "name": "mine"}
        headers = {"origin": origin, "content-type": "application/json"}
        begin = urllib.request.Request(f"{origin}/api/new/begin", json.dumps(wish).encode(), headers)
        browser.open(begin, timeout=10).close()
        deadline = time.monotonic() + 90
        while not (root / "mine" / "config.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        served.process.kill()
        served.process.wait(10)
    while RunIndex(root).rows() and only(root)["state"] != "finished":
        assert time.monotonic() < deadline and only(root)["state"] in ("training", "new")
        time.sleep(0.2)
    assert only(root)["images"] == 3000 and only(root)["done"] == 1.0


def only(root):
    """The row of the one run."""
    (row,) = RunIndex(root).rows().values()
    return row


def test_a_stream_tells_of_a_run_that_begins(tmp_path, root, serving_on):
    with serving_on(tmp_path) as served:
        stream = urllib.request.urlopen(f"http://127.0.0.1:{served.port}/api/runs/live", timeout=20)
        assert [stream.readline() for _ in range(3)][1] == b'data: {"changed":{},"gone":[]}\n'
        shutil.copytree(root / "digits-tiny", tmp_path / "later")
        while not (line := stream.readline()).startswith(b"data"):
            pass
        (row,) = json.loads(line.removeprefix(b"data: "))["changed"].values()
        assert row["name"] == "later"


def test_beside_a_training_it_is_a_process_of_its_own(tmp_path, monkeypatch, capsys):
    folder, begun, real = tmp_path / "run", [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: begun.append(real(*args, **more)) or begun[-1])
    monkeypatch.setenv("BROWSER", "true")
    try:
        assert main(["train", "digits", "--num_images", "64", "--output_dir", str(folder), "--studio", *SMALL]) == 0
        said, deadline = capsys.readouterr().out, time.monotonic() + 30
        assert str(folder) in said.splitlines()
        while "http://127.0.0.1:" not in said:
            assert time.monotonic() < deadline and begun[0].poll() is None, said
            time.sleep(0.1)
            said += capsys.readouterr().out
        address = said[said.index("http://") :].split()[0]
        with urllib.request.urlopen(address.partition("?")[0] + "api/runs", timeout=10) as answer:
            (row,) = json.load(answer)["runs"]
        assert (row["state"], row["images"]) == ("finished", 64)
    finally:
        begun[0].terminate()
        begun[0].wait(10)


def test_it_ends_by_itself_where_nobody_looks_and_nothing_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LINGER", 0.1)
    module.serve(tmp_path, module.Place(port=None), lambda address: None, until_closed=True)


def test_a_page_that_follows_no_stream_keeps_it_open(client_of, tmp_path):
    client = client_of(tmp_path)
    streams = client.app.state.streams
    streams._used -= 1000
    assert streams.idle > 1000 and client.get("/api/open").status_code == 204
    assert streams.idle < 100


def test_a_tool_at_work_keeps_it_open(tmp_path, monkeypatch):
    state = module.build_app(tmp_path, module.Place().access(8420)).state
    server = module._Server(module.uvicorn.Config(None), state, until_closed=True)
    assert not server._works()
    monkeypatch.setattr(Tools, "at_work", True)
    assert server._works()


def test_every_page_says_that_it_is_open(browser, served):
    page = browser.new_page()
    page.clock.install()
    page.goto(f"{served.address.partition('?')[0]}#/new")
    page.wait_for_selector("h1")
    with page.expect_request("**/api/open"):
        page.clock.fast_forward(21_000)
    page.close()


def test_without_its_extra_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    folder = tmp_path / "run"
    assert main(["studio", str(tmp_path)]) == 2 and "pip install starlette uvicorn" in capsys.readouterr().err
    assert main(["train", "digits", "--studio", "--output_dir", str(folder)]) == 2 and not folder.exists()
    assert main(["train", "digits", "--studio", "--dry_run"]) == 2
