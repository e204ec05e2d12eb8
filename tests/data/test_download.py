"""Downloads, against a server on this machine that serves good bytes and bad ones."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.data import DataOptions, load
from fromnoise.data import download as room
from fromnoise.data.registry import DATASETS, Dataset, RemoteFile

GOOD = bytes(range(256)) * 1000
ALSO = b"labels" * 50


class Handler(http.server.BaseHTTPRequestHandler):
    """Paths are /<manner>/<file>; what was asked for is kept."""

    asked: ClassVar[list[str]] = []

    def _content(self) -> bytes:
        return ALSO if self.path.endswith("labels.gz") else GOOD

    def _headers(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_HEAD(self) -> None:
        self._headers(200, 0)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        manner, content = self.path.split("/")[1], self._content()
        if manner == "missing":
            self._headers(404, 0)
        elif manner == "wrong":
            self._headers(200, len(content))
            self.wfile.write(bytes(len(content)))
        elif manner == "page":
            page = b"<!DOCTYPE html><title>Log in</title>"
            self._headers(200, len(page))
            self.wfile.write(page)
        elif manner == "short":
            self._headers(200, len(content) // 2)
            self.wfile.write(content[: len(content) // 2])
        elif manner == "broken":
            self._headers(200, len(content))
            self.wfile.write(content[: len(content) // 2])
        elif manner == "endless":
            self._headers(200, 1 << 40)
            for _ in range(200):
                self.wfile.write(content)
        elif manner == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/good/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._headers(200, len(content))
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is expected
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FROMNOISE_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Handler.asked.clear()


def remote(name: str, content: bytes) -> RemoteFile:
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest(), name.removesuffix(".gz"))


def dataset(*mirrors: str) -> Dataset:
    files = (remote("images.gz", GOOD), remote("labels.gz", ALSO))
    return Dataset("", "", "idx", ("a", "b"), (2, 2), files, mirrors)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "things").glob("*"))


def test_files_are_fetched_once_and_checked(server: str, own_places: Path) -> None:
    paths = room.obtain("things", dataset(server + "good/", server + "wrong/"))
    assert paths["images.gz"].read_bytes() == GOOD and paths["labels.gz"].read_bytes() == ALSO
    assert paths["images.gz"].parent == own_places / "things" and left(own_places) == ["images.gz", "labels.gz"]
    room.obtain("things", dataset(server + "good/"))
    assert Handler.asked == ["/good/images.gz", "/good/labels.gz"]


@pytest.mark.parametrize("manner", ["missing", "wrong", "page", "short", "broken", "endless"])
def test_a_bad_mirror_is_passed_over(server: str, own_places: Path, manner: str) -> None:
    paths = room.obtain("things", dataset(f"{server}{manner}/", server + "moved/"))
    assert paths["images.gz"].read_bytes() == GOOD and left(own_places) == ["images.gz", "labels.gz"]
    assert Handler.asked[0] == f"/{manner}/images.gz"


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("missing", "404"),
        ("wrong", "bytes"),
        ("page", "web page"),
        ("short", "128,000 of 256,000"),
        ("broken", "127.0.0.1"),
        ("endless", "bytes"),
    ],
)
def test_without_a_good_mirror_nothing_is_kept_and_the_way_out_is_said(
    server: str, own_places: Path, manner: str, reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        room.obtain("things", dataset(f"{server}{manner}/", server + "missing/"))
    message = str(caught.value)
    assert reason in message and "404" in message and caught.value.exit_code == 3
    for file in dataset().files:
        assert f"{file.sha256}  {file.name}" in message
    assert str(own_places / "things") in message and "digits" in message
    assert left(own_places) == []


def test_only_what_is_missing_is_fetched(server: str, own_places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROMNOISE_DATA", str(own_places.parent / "data"))
    given = own_places.parent / "data" / "things"
    given.mkdir(parents=True)
    (given / "images").write_bytes(b"unpacked by hand")  # accepted under its plain name, as it is
    paths = room.obtain("things", dataset(server + "good/"))
    assert paths["images.gz"] == given / "images" and paths["labels.gz"] == own_places / "things" / "labels.gz"
    assert Handler.asked == ["/good/labels.gz"]


def test_an_answer_comes_soon_without_a_network(monkeypatch: pytest.MonkeyPatch, own_places: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(DataError, match=r"things.*127\.0\.0\.1"):
        room.obtain("things", dataset(closed))
    assert not own_places.exists()


def test_a_name_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    def never(*_: object, **__: object) -> object:
        hanging.wait(600)
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    urls = ["http://mirror.invalid/", "http://other.invalid/"]
    try:
        assert room.answering(urls, patience=0.3) == []  # back, although the name server never answered
    finally:
        hanging.set()


def test_mirrors_keep_their_order(server: str) -> None:
    urls = [server + "good/x", "http://127.0.0.1:1/x", server + "wrong/x"]
    assert room.answering(urls) == [urls[0], urls[2]]


def test_offline_is_respected(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROMNOISE_OFFLINE", "1")
    with pytest.raises(DataError, match="FROMNOISE_OFFLINE"):
        room.obtain("things", dataset(server + "good/"))
    assert Handler.asked == []
    with pytest.raises(DataError) as caught:
        load(DataOptions(source="mnist"))
    message = str(caught.value)
    assert all(f"{file.sha256}  {file.name}" in message for file in DATASETS["mnist"].files)


def test_a_cache_that_cannot_be_written_is_a_write_error(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WriteError) as caught:
        room.obtain("things", dataset(server + "good/"))
    assert caught.value.exit_code == 6 and "FROMNOISE_CACHE" in str(caught.value)


def test_a_download_that_is_interrupted_leaves_nothing(
    server: str, own_places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        room.obtain("things", dataset(server + "good/"))
    assert left(own_places) == []


def test_fetch_knows_names_and_the_cache_has_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert room.fetch("digits") == {}
    with pytest.raises(UsageError, match=r"'kmist'.*'kmnist'"):
        room.fetch("kmist")
    assert room.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("FROMNOISE_CACHE")
    assert room.cache_dir().is_absolute() and "fromnoise" in str(room.cache_dir())
