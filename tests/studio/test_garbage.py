"""Run folders that are half-written, damaged or hostile: each view answers, and the runs beside them are shown."""

from __future__ import annotations

import json
import os
import shutil

import pytest

DAMAGE = {
    "config.json": [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"settings": 3, "data": [], "spec": "x"}',
        b'{"format": 3, "settings": {"recipe": "r", "train": [], "data": {"source": "x"}}, "data": {"name": "x"}}',
        b'{"format": 3, "settings": {"recipe": "r", "train": {"num_epochs": 1e999}, "data": {"source": "x"}}, '
        b'"data": {"name": "x", "count": 3}}',
        b"\xff\xfe",
    ],
    "metrics.jsonl": [
        b"",
        b'{"step": 1, "ima',
        b"\x00" * 5000,
        b"[1]\n3\nnull\n",
        b'{"step": "a", "images": "b", "loss": [], "seconds": {}, "images_per_second": "x"}\n',
        b'{"step": 1, "images": 1e999, "loss": NaN, "seconds": -Infinity, "images_per_second": 0}\n',
        b'{"step": 1, "images": ' + b"9" * 3000 + b', "loss": 1, "seconds": 1, "images_per_second": 1}\n',
        b'{"event": ["validation"], "loss": {}}\n{"event": "validation", "t": 3, "by_noise": "x", "images": null}\n',
        b'{"event": "evaluation", "frechet_distance": "far", "class_accuracy": [], "count": {}}\n',
        b'{"a": "' + b"x" * 3_000_000 + b'"}\n',
    ],
    "session.json": [
        b"",
        b"[]",
        b'{"state": [], "process": -1, "lines": 3}',
        b'{"state": "training", "process": 1e300, "began": "now", "message": [], "lines": [1, null]}',
        b'{"state": "failed", "process": true, "began": 1e999, "ended": {}, "message": 5, "lines": {}}',
    ],
    "evaluation.json": [
        b"",
        b"[]",
        b'{"metrics": []}',
        b'{"metrics": {"frechet_distance": "x", "count": []}}',
        b"\xff",
    ],
    "training.log": [b"\xff\x00\x1b[2J" * 5000],
}
VIEWS = ["", "/curves", "/curves?by=seconds&points=10", "/previews/640", "/playground", "/tools", "/report"]


@pytest.fixture
def studio(client_of, root, tmp_path):
    """The studio on a sound run and `broken`, a copy of it; answers 500 where a route fails."""
    for name in ("sound", "broken"):
        shutil.copytree(root / "digits-tiny", tmp_path / name)
    client = client_of(tmp_path)
    client._transport.raise_server_exceptions = False
    return client


def looked_at(studio):
    """The rows by name, after each view of `broken` was asked for."""
    rows = {row["name"]: row for row in studio.get("/api/runs").json()["runs"]}
    for view in VIEWS if "broken" in rows else []:
        answer = studio.get(f"/api/runs/{rows['broken']['id']}{view}")
        assert answer.status_code in (200, 400, 404, 409), (view, answer.text[-500:])
    return rows


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_breaks_no_view(studio, tmp_path, name):
    for number, content in enumerate(DAMAGE[name]):
        place = tmp_path / "broken" / name
        place.write_bytes(content)
        os.utime(place, (number, number))
        rows = looked_at(studio)
        assert rows["sound"]["state"] == "finished" and rows["sound"]["images"] == 640, content[:60]


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "session.json", "evaluation.json", "samples", "checkpoints", "figures"]
)
@pytest.mark.parametrize("kind", ["folder", "file", "link", "pipe", "missing"])
def test_another_thing_in_the_place_of_a_file_breaks_no_view(studio, tmp_path, name, kind):
    place = tmp_path / "broken" / name
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    if kind == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    make = {"folder": place.mkdir, "file": place.touch, "link": lambda: place.symlink_to(place)}
    make.get(kind, lambda: kind == "pipe" and os.mkfifo(place))()
    assert looked_at(studio)["sound"]["state"] == "finished"


def test_a_run_that_is_being_written_is_shown_when_it_is_there(studio, tmp_path):
    (tmp_path / "half").mkdir()
    assert "half" not in looked_at(studio)
    (tmp_path / "half" / "config.json").write_bytes((tmp_path / "sound" / "config.json").read_bytes()[:1000])
    assert looked_at(studio)["half"]["state"] == "failed"
    shutil.copy(tmp_path / "sound" / "config.json", tmp_path / "half" / "config.json")
    row = looked_at(studio)["half"]
    assert (row["state"], row["images"]) == ("new", 0) and json.loads(json.dumps(row)) == row
