"""Runs that the page begins, stops and continues: ordinary commands, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from fromnoise.run.folder import RunFolder

HEADERS = {"origin": "http://127.0.0.1:8420"}
WISH = {"data": "digits", "recipe": "default-tiny", "budget": "", "epochs": 0.5, "seed": 1}


@pytest.fixture
def studio(client_of, tmp_path):
    """Posts to, and gets from, the studio on an empty folder."""
    client = client_of(tmp_path / "runs", known=True)
    client.headers.update(HEADERS)
    return client


def until(look, seconds=120):
    """What `look` returns, once it is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, look()
        time.sleep(0.1)
    return found


def state_of(studio, run):
    answer = studio.get(f"/api/runs/{run}")
    return answer.json()["row"]["state"] if answer.status_code == 200 else ""


def test_a_run_is_begun_stopped_and_finished(studio, tmp_path):
    begun = studio.post("/api/new/begin", json={**WISH, "epochs": 400, "name": "mine"})
    assert begun.status_code == 200, begun.text
    run = begun.json()["run"]
    until(lambda: studio.get("/api/new/begun/mine").json()["listed"])
    until(lambda: state_of(studio, run) == "training")
    until(lambda: studio.get(f"/api/runs/{run}").json()["row"]["images"] > 0)
    assert studio.post(f"/api/runs/{run}/resume", json={}).status_code == 409
    assert studio.post(f"/api/runs/{run}/stop", json={}).status_code == 200
    assert studio.post(f"/api/runs/{run}/stop", json={}).status_code in (400, 409), "twice would not save"
    until(lambda: state_of(studio, run) == "stopped")
    about = studio.get(f"/api/runs/{run}").json()
    assert about["checkpoints"] and "stopped after" in about["row"]["message"]
    until(lambda: studio.post(f"/api/runs/{run}/stop", json={}).status_code == 400)
    seen = about["row"]["images"]
    assert studio.post(f"/api/runs/{run}/resume", json={}).status_code == 200
    until(lambda: state_of(studio, run) == "training")
    until(lambda: studio.get(f"/api/runs/{run}").json()["row"]["images"] > seen)
    studio.post(f"/api/runs/{run}/stop", json={})
    until(lambda: state_of(studio, run) == "stopped")
    assert "going on at" in (tmp_path / "runs" / "mine" / "training.log").read_text()


def test_an_estimate_writes_nothing(studio, tmp_path):
    found = studio.post("/api/new/estimate", json=WISH).json()
    assert found["data"]["counts"]["train"] == 1500 and found["cost"]["images"] == 750
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_training_that_cannot_begin_says_why_and_leaves_nothing(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_DATA", "")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    assert studio.post("/api/new/begin", json={**WISH, "data": "mnist", "name": "nothing"}).status_code == 200
    seen = until(lambda: (found := studio.get("/api/new/begun/nothing").json())["failed"] and found)
    assert "mnist" in "\n".join(seen["lines"]) and not (tmp_path / "runs" / "nothing").exists()


def test_more_trainings_than_go_on_at_once_leave_no_folder(studio, tmp_path, monkeypatch):
    monkeypatch.setattr("fromnoise.studio.trainings.MOST", 0)
    (tmp_path / "runs").mkdir()
    answer = studio.post("/api/new/begin", json={**WISH, "name": "mine"})
    assert answer.status_code == 409 and answer.json()["error"].startswith("0 trainings")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_place_where_no_folder_can_be_made_is_a_sentence(client_of, tmp_path):
    (tmp_path / "file").write_text("mine")
    client = client_of(tmp_path / "file" / "runs", known=True)
    answer = client.post("/api/new/begin", json={**WISH, "name": "mine"}, headers=HEADERS)
    assert answer.status_code == 409 and str(tmp_path / "file" / "runs" / "mine") in answer.json()["error"]
    assert (tmp_path / "file").read_text() == "mine"
    for name in ("one", "two"):  # nor does the queue wait for it
        waiting = client.post("/api/new/enqueue", json={**WISH, "name": name}, headers=HEADERS)
        assert waiting.status_code == 200 and waiting.json() == {"waiting": []}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="such a system follows every link")
def test_a_log_that_is_a_link_is_not_written_through(client_of, root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "runs" / "run")
    (tmp_path / "theirs").write_text("theirs")
    link = tmp_path / "runs" / "run" / "training.log"
    link.symlink_to(tmp_path / "theirs")
    client = client_of(tmp_path / "runs", known=True)
    run = client.get("/api/runs").json()["runs"][0]["id"]
    answer = client.post(f"/api/runs/{run}/resume", json={}, headers=HEADERS)
    assert answer.status_code == 409 and "training.log" in answer.json()["error"]
    assert (tmp_path / "theirs").read_text() == "theirs" and link.is_symlink()
    assert client.get(f"/api/runs/{run}").json()["row"]["state"] == "finished"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../out"},
        {"name": ""},
        {"name": ".hidden"},
        {"name": "a/b"},
        {"name": "-x"},
        {"name": "a" * 61},
        {"name": "there"},
        {"data": "/etc"},
        {"data": "../.."},
        {"data": "run:../.."},
        {"data": "folder:../.."},
        {"data": "folder:/etc"},
        {"data": "folder:0123456789abcdef"},
        {"data": "--help"},
        {"recipe": "--help"},
        {"recipe": "nonsense"},
        {"budget": "soon"},
        {"budget": "--help"},
        {"epochs": 0},
        {"epochs": -1},
        {"seed": 0.5},
        {"more": 1},
    ],
)
def test_what_cannot_be_begun_is_refused(studio, tmp_path, changes):
    (tmp_path / "runs" / "there").mkdir(parents=True)
    answer = studio.post("/api/new/begin", json={**WISH, "name": "mine", **changes})
    assert answer.status_code in (400, 404)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["there"]


@pytest.fixture
def pictures(tmp_path):
    """pictures(place, count): a folder of images below that of the runs."""

    def make(place, count=24):
        folder = tmp_path / "runs" / place
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng([number, count]).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        return folder

    return make


def test_folders_of_images_are_listed_and_trained_on(studio, root, tmp_path, pictures):
    for place in ("flowers/rose", "flowers/tulip", "loose", ".hidden", "-x"):
        pictures(place)
    pictures("single", 1)
    shutil.copytree(root / "digits-tiny", tmp_path / "runs" / "run")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "runs" / "loose")
    listed = {
        one["name"]: one["key"] for one in studio.get("/api/new").json()["data"] if one["key"].startswith("folder")
    }
    assert sorted(listed) == ["./-x", "./flowers", "./flowers/rose", "./flowers/tulip", "./loose"]
    found = studio.post("/api/new/estimate", json={**WISH, "data": listed["./flowers"]}).json()
    assert found["data"]["counts"]["train"] == 48
    remarks = {one["kind"]: one["values"] for one in found["data"]["remarks"]}
    assert remarks["held out"] == {"count": 5, "of": 48} and remarks["repeats"]["exact"] == 24
    begun = studio.post("/api/new/begin", json={**WISH, "data": listed["./-x"], "name": "mine", "epochs": 0.05})
    until(lambda: state_of(studio, begun.json()["run"]) == "finished")
    assert studio.get(f"/api/runs/{begun.json()['run']}").json()["count"] == 22, "two are held out"
    again = [one["name"] for one in studio.get("/api/new").json()["data"]]
    assert sum(name.endswith("-x") for name in again) == 1, "the folder, and not again as the data of the run"


def test_a_process_of_somebody_else_is_not_stopped(client_of, root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    client = client_of(tmp_path, known=True)
    run = client.get("/api/runs").json()["runs"][0]["id"]
    other = subprocess.Popen(["sleep", "60"])
    try:
        with folder.locked():
            folder.session.write_text(json.dumps({"state": "training", "process": other.pid}))
            assert client.post(f"/api/runs/{run}/stop", json={}, headers=HEADERS).status_code == 400
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_queue_is_worked_off_whatever_becomes_of_a_run(studio, tmp_path):
    small = {**WISH, "epochs": 0.05}
    assert studio.post("/api/new/enqueue", json={**WISH, "epochs": 400, "name": "one"}).json() == {"waiting": []}
    for name in ("two", "three", "four"):
        waiting = studio.post("/api/new/enqueue", json={**small, "name": name}).json()["waiting"]
    assert waiting == ["two", "three", "four"] and studio.get("/api/new/queue").json()["waiting"] == waiting
    assert studio.post("/api/new/enqueue", json={**small, "name": "two"}).status_code == 400
    assert studio.post("/api/new/leave", json={"name": "three"}).json()["waiting"] == ["two", "four"]
    process = studio.app.state.trainings._begun[tmp_path / "runs" / "one"]
    process.kill()
    process.wait()
    (tmp_path / "runs" / "two").mkdir()  # somebody else took its place
    assert studio.get("/api/new/queue").json()["waiting"] == []
    until(lambda: studio.get("/api/new/begun/four").json()["listed"])
    rows = lambda: {row["name"]: row["state"] for row in studio.get("/api/runs").json()["runs"]}  # noqa: E731
    until(lambda: rows().get("four") == "finished")
    assert "three" not in rows() and "two" not in rows()


@pytest.mark.parametrize("name", ["%2e%2e", "other", "%2e"])
def test_only_what_was_begun_here_is_told_of(studio, tmp_path, name):
    (tmp_path / "runs" / "other").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "runs", tmp_path / "runs" / "other"):
        (folder / "training.log").write_text("secret")
    answer = studio.get(f"/api/new/begun/{name}")
    assert answer.status_code == 404 and "secret" not in answer.text


def test_nothing_is_begun_without_the_token(client):
    answer = client.post("/api/new/begin", json={**WISH, "name": "mine"}, headers=HEADERS)
    assert answer.status_code == 401
