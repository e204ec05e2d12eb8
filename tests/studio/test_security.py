"""Attacks on the studio: each is refused, and the studio goes on."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from fromnoise.studio import security
from fromnoise.studio.replies import Json, read_fields
from fromnoise.studio.security import Access, Guard, Refused, refusal

ORIGIN = "http://127.0.0.1:8420"
FORGED = {"content-type": "application/json", "origin": ORIGIN}


async def _echo(request: Request) -> Json:
    return Json(await read_fields(request, {"seed": int, "scale": float, "name": str}))


@pytest.fixture
def changing(access) -> TestClient:
    """A client of a route that changes things, behind the guard, with the token."""
    app = Starlette(
        routes=[Route("/api/do", _echo, methods=["POST"])],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={Refused: refusal},
    )
    client = TestClient(app, base_url=ORIGIN)
    client.cookies.set(access.cookie, access.token)
    return client


GOOD = {"seed": 1, "scale": 2.0, "name": "a"}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8420", "127.0.0.1:8420.evil.example", ""],
)
def test_a_name_that_leads_here_reaches_nothing(client, host):
    for path in ("/", "/api/runs", "/page/app.js"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403 and "<" not in answer.text


def test_browsers_leave_out_port_80(client_of, root):
    access = Access(frozenset({"127.0.0.1"}), 80, "another0" * 4)
    client = client_of(root, access=access)
    for host, status in (("127.0.0.1", 200), ("127.0.0.1:80", 200), ("evil.example", 403), ("127.0.0.1:8080", 403)):
        assert client.get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8420", "http://127.0.0.1:8421"])
def test_another_sites_page_reads_and_changes_nothing(client, changing, origin):
    assert client.get("/api/runs", headers={"origin": origin}).status_code == 403
    assert changing.post("/api/do", json=GOOD, headers={**FORGED, "origin": origin}).status_code == 403


def test_a_link_opens_the_page_and_nothing_else(client):
    from_there = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=from_there).status_code == 200
    assert client.get("/api/runs", headers=from_there).status_code == 403
    for dest in ("iframe", "image", "script"):
        assert client.get("/", headers={**from_there, "sec-fetch-dest": dest}).status_code == 403


def test_what_changes_things_needs_token_and_origin(changing, access):
    assert changing.post("/api/do", json=GOOD, headers=FORGED).json() == GOOD
    assert changing.post("/api/do", json=GOOD).status_code == 403
    changing.cookies.clear()
    for cookie in ("", f"{access.cookie}=wrong", f"other={access.token}", "=;=;\x01"):
        assert changing.post("/api/do", json=GOOD, headers={**FORGED, "cookie": cookie}).status_code == 401


def test_the_token_becomes_a_cookie_that_other_sites_cannot_use(client, access):
    answer = client.get("/", params={"token": access.token})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert "samesite=strict" in cookie and "httponly" in cookie
    for wrong in ("-", "x", access.token[:-1], "é"):
        answer = client.get("/", params={"token": wrong})
        assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_a_studio_for_other_machines_shows_nothing_without_the_token(client_of, root):
    access = Access(frozenset({"box"}), 8420, "another0" * 4, closed=True)
    stranger, known = client_of(root, access=access), client_of(root, known=True, access=access)
    for host, status in (("box:8420", 401), ("192.168.1.7:8420", 401), ("evil.example:8420", 403)):
        assert stranger.get("/api/runs", headers={"host": host}).status_code == status
    answer = known.get("/api/runs", headers={"host": "box:8420", "cookie": f"{access.cookie}={access.token}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"seed":1}',
        b'{"seed":1,"scale":1,"name":"a","more":1}',
        b'{"seed":1,"seed":2,"scale":1,"name":"a"}',
        b'{"seed":true,"scale":1,"name":"a"}',
        b'{"seed":1.5,"scale":1,"name":"a"}',
        b'{"seed":1,"scale":NaN,"name":"a"}',
        b'{"seed":1,"scale":Infinity,"name":"a"}',
        b'{"seed":1,"scale":1,"name":null}',
        b"[" * 30_000,
        b"\xff\xfe\x00",
        bytes(range(256)),
    ],
)
def test_garbage_is_refused(changing, body):
    assert changing.post("/api/do", content=body, headers=FORGED).status_code == 400


def test_a_body_is_json_and_bounded(changing):
    assert changing.post("/api/do", content=b"{}", headers={**FORGED, "content-type": "text/plain"}).status_code == 415
    form = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    assert changing.post("/api/do", content=b"a=b", headers=form).status_code == 415
    large = b" " * (security.MOST_BODY_BYTES + 1)
    assert changing.post("/api/do", content=large, headers=FORGED).status_code == 413
    pieces = (b" " * 10_000 for _ in range(20))  # without a length
    assert changing.post("/api/do", content=pieces, headers=FORGED).status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(client, method):
    assert client.request(method, "/").status_code == 405


def test_every_answer_carries_its_policy(client):
    for path in ("/", "/api/runs", "/nothing", "/page/app.js"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
    page = client.get("/").text
    assert "<script>" not in page and " style=" not in page and "onclick" not in page and "http" not in page


def test_links_in_a_run_lead_nowhere(client_of, root, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    run = tmp_path / "runs" / "run"
    shutil.copytree(root / "digits-tiny", run)
    (run / "samples" / "preview-99999999.png").symlink_to(secret)
    (tmp_path / "runs" / "linked").symlink_to(root / "digits-tiny")
    client = client_of(tmp_path / "runs")
    (row,) = client.get("/api/runs").json()["runs"]
    assert row["name"] == "run"
    answer = client.get(f"/api/runs/{row['id']}/previews/99999999")
    assert answer.status_code == 404 and b"secret" not in answer.content


PATHS = [
    *("/../..", "/../../etc/passwd", "/page/../app.py", "/page/..%2f..%2fapp.py", "/page/%2e%2e/app.py"),
    *("/api/runs/../../etc/passwd", "/api/runs/..%2f..", "/api/runs/%00", "/page//etc/passwd", "/page/app.js%00.css"),
    *(
        "/api/runs/x/previews/../../config.json",
        "/api/runs/x/previews/1e3",
        "//evil.example/",
        "/API/RUNS",
        "/index.html",
    ),
]


def raw(port: int, head: str, body: bytes = b"", wait: float = 5.0) -> bytes:
    """What a socket answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(head.encode() + body)
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
                if b"\r\n\r\n" in found and b"content-length" in found:
                    break
        except (TimeoutError, ConnectionError):
            pass
        return found


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_listed_is_never_the_page(served, path):
    answer = raw(served.port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n")
    assert 400 <= int(answer.split()[1]) < 500
    assert b"<html" not in answer and b"root:" not in answer


@pytest.mark.parametrize(
    "head", ["\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", f"GET /{'a' * 100_000} HTTP/1.1\r\n\r\n"]
)
def test_what_is_not_http_is_refused(served, head):
    answer = raw(served.port, head)
    assert not answer or 400 <= int(answer.split()[1]) < 500
    assert alive(served)


def alive(served) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/api/runs", timeout=10) as answer:
        return len(json.load(answer)["runs"]) == 1


def test_a_hundred_megabytes_are_not_read(served):
    host = f"Host: 127.0.0.1:{served.port}\r\nOrigin: http://127.0.0.1:{served.port}\r\n"
    head = f"POST /api/runs HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    answer = raw(served.port, head, b" " * 1000)
    assert 400 <= int(answer.split()[1]) < 500 and alive(served)


def test_slow_clients_keep_nobody_waiting(served):
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        began = time.monotonic()
        assert alive(served) and time.monotonic() - began < 5
        slow[0].settimeout(30)
        assert slow[0].recv(1) == b"", "a connection that brings no request is closed"
    finally:
        for connection in slow:
            connection.close()


def test_two_hundred_requests_at_once_are_answered(served):
    barrier = threading.Barrier(200)

    def one(_: int) -> bool:
        barrier.wait(30)
        return alive(served)

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))
