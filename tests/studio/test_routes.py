"""What the studio answers about a run, beside what the run itself says."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
from starlette.requests import Request

from fromnoise.run.folder import RunFolder
from fromnoise.run.status import noted
from fromnoise.studio import live
from fromnoise.studio.routes.run import _moment


@pytest.fixture
def place(client):
    """The address of the one run."""
    return f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}"


def test_a_run_tells_what_it_is(client, place, tiny_run):
    about, record = client.get(place).json(), tiny_run.metadata
    assert about["settings"]["net"]["width"] == 8 and about["parameters"] == record["parameters"]
    assert about["classes"] == list(tiny_run.spec.classes) and about["shape"] == list(tiny_run.spec.shape)
    assert about["previews"] == [640] and about["checkpoints"] == [640] and about["resources"] is None
    assert about["resume"].startswith("fromnoise train --resume ")


def test_the_curves_are_the_log(client, place, tiny_run):
    found = client.get(f"{place}/curves", params={"smoothing": 0}).json()
    lines = tiny_run.folder.read_metrics()
    steps = [line for line in lines if "step" in line]
    assert found["loss"]["x"] == [line["images"] for line in steps]
    assert found["loss"]["smooth"] == [line["loss"] for line in steps]
    assert found["events"] == [line for line in lines if "event" in line]


@pytest.mark.parametrize("query", ["points=x", "first=nan", "smoothing=inf"])
def test_a_query_that_is_not_a_number_is_refused(client, place, query):
    assert client.get(f"{place}/curves?{query}").status_code == 400


def test_a_query_beyond_its_range_is_brought_into_it(client, place):
    for query in ("points=1e9", "points=-5", "smoothing=7", "first=1e308&last=-1e308"):
        assert client.get(f"{place}/curves?{query}").status_code == 200


def test_a_preview_is_the_file(client, place, tiny_run):
    answer = client.get(f"{place}/previews/640")
    assert answer.content == (tiny_run.folder.samples / "preview-00000640.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert client.get(f"{place}/previews/641").status_code == 404
    same = {"if-none-match": answer.headers["etag"]}
    assert "no-cache" in answer.headers["cache-control"]
    again = client.get(f"{place}/previews/640", headers=same)
    assert again.status_code == 304 and not again.content


def test_the_preview_of_another_run_of_that_name_is_another(client_of, root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    client = client_of(tmp_path)
    (row,) = client.get("/api/runs").json()["runs"]
    before = client.get(f"/api/runs/{row['id']}/previews/640")
    preview = tmp_path / "run" / "samples" / "preview-00000640.png"
    preview.write_bytes(before.content + b"another")
    same = {"if-none-match": before.headers["etag"]}
    assert client.get(f"/api/runs/{row['id']}/previews/640", headers=same).content == preview.read_bytes()


def test_the_report_is_made_and_nothing_is_written(client, place, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    page = client.get(f"{place}/report")
    assert page.status_code == 200 and "What was trained" in page.text and "digits-tiny" in page.text
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.name != "run.lock"} == {
        path: time for path, time in before.items() if path.name != "run.lock"
    }


def test_unknown_runs_and_parts_are_not_there(client, place):
    for path in ("/api", "/api/runs/0123456789abcdef", f"{place}/nothing", f"{place}/previews/x", "/page/nothing.js"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.headers["content-type"] == "application/json"


def test_the_parts_of_the_page_are_served_with_their_kind(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    script = client.get("/page/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = client.get("/page/app.js", headers={"if-none-match": script.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_a_crashed_training_shows_its_last_lines(client_of, root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ZeroDivisionError), folder.locked(), noted(folder):
        1 / 0  # noqa: B018
    client = client_of(tmp_path)
    (row,) = client.get("/api/runs").json()["runs"]
    assert row["state"] == "failed" and "ZeroDivisionError" in row["message"]
    assert any("1 / 0" in line for line in client.get(f"/api/runs/{row['id']}").json()["lines"])


def test_a_run_that_cannot_be_read_says_why(client_of, root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    client = client_of(tmp_path)
    (row,) = client.get("/api/runs").json()["runs"]
    answer = client.get(f"/api/runs/{row['id']}")
    assert answer.status_code == 409 and "config.json" in json.loads(answer.content)["error"]


def test_a_stream_of_a_run_that_goes_ends(client_of, root, tmp_path, monkeypatch):
    """It says so once, with an event of its own: an answer that has begun cannot be a 404."""
    monkeypatch.setattr(live, "_BETWEEN", 0.0)
    monkeypatch.setattr(live, "_SHARE", 0.0)
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    client = client_of(tmp_path)
    run = client.get("/api/runs").json()["runs"][0]["id"]
    request, streams = Request({"type": "http", "app": client.app, "path_params": {"run": run}}), live.Streams()
    looks = iter([None, None, shutil.rmtree])

    def look():
        if remove := next(looks):
            remove(tmp_path / "run")
        return _moment(request, RunFolder(tmp_path / "run"))

    async def events():
        return [text async for text in streams.respond("run", look).body_iterator]

    first, last = asyncio.run(events())
    assert first.startswith("event: run\n") and last == "event: ended\ndata: \n\n" and streams.open == 0


@pytest.mark.parametrize("stream", ["live", "tools/live"])
def test_a_stream_of_a_run_that_is_not_there_ends_at_once(client, stream):
    """A page that was hidden follows it again: of a 404 its browser would only say that nothing answers."""
    answer = client.get(f"/api/runs/0123456789abcdef/{stream}")
    assert answer.status_code == 200 and answer.text == "event: ended\ndata: \n\n"


def test_a_run_that_is_not_there_is_said_to_be_gone(client):
    assert "removed or renamed" in client.get("/api/runs/0123456789abcdef").json()["error"]
