"""Runs renamed, deleted and taken back: nothing is lost, and nothing else is moved."""

from __future__ import annotations

import shutil

import pytest

from fromnoise.run.folder import RunFolder

HEADERS = {"origin": "http://127.0.0.1:8420"}


@pytest.fixture
def studio(client_of, root, tmp_path):
    """A client of the studio on a folder with the run group/mine, with the token."""
    shutil.copytree(root / "digits-tiny", tmp_path / "runs" / "group" / "mine")
    client = client_of(tmp_path / "runs", known=True)
    client.headers.update(HEADERS)
    return client


def listed(studio):
    return {row["name"]: row["id"] for row in studio.get("/api/runs").json()["runs"]}


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_run_gets_another_name(studio, tmp_path):
    before, (run,) = files(tmp_path / "runs" / "group" / "mine"), listed(studio).values()
    answer = studio.post(f"/api/runs/{run}/rename", json={"name": "yours"})
    assert answer.status_code == 200 and listed(studio) == {"group/yours": answer.json()["run"]}
    assert files(tmp_path / "runs" / "group" / "yours") == before
    assert studio.get(f"/api/runs/{run}").status_code == 404


def test_a_deleted_run_comes_back(studio, tmp_path):
    before, (run,) = files(tmp_path / "runs" / "group" / "mine"), listed(studio).values()
    deleted = studio.post(f"/api/runs/{run}/delete", json={}).json()["deleted"]
    assert listed(studio) == {} and studio.get("/api/trash").json()["trash"] == [{"id": deleted, "name": "group/mine"}]
    assert studio.post("/api/trash/restore", json={"deleted": deleted}).json() == {"run": run}
    assert listed(studio) == {"group/mine": run} and files(tmp_path / "runs" / "group" / "mine") == before
    assert studio.get("/api/trash").json()["trash"] == [] and not list((tmp_path / "runs" / ".trash").iterdir())
    assert studio.post("/api/trash/restore", json={"deleted": deleted}).status_code == 400


def test_a_run_does_not_come_back_over_another(studio, root, tmp_path):
    (run,) = listed(studio).values()
    deleted = studio.post(f"/api/runs/{run}/delete", json={}).json()["deleted"]
    shutil.copytree(root / "digits-tiny", tmp_path / "runs" / "group" / "mine")
    assert studio.post("/api/trash/restore", json={"deleted": deleted}).status_code == 400
    assert [one["id"] for one in studio.get("/api/trash").json()["trash"]] == [deleted]


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "there", "-x", "a" * 61])
def test_a_name_that_cannot_be_is_refused(studio, tmp_path, name):
    (tmp_path / "runs" / "group" / "there").mkdir()
    (run,) = listed(studio).values()
    assert studio.post(f"/api/runs/{run}/rename", json={"name": name}).status_code == 400
    assert listed(studio) == {"group/mine": run}


@pytest.mark.parametrize("deleted", ["..", "../group", "", "0" * 16])
def test_only_what_is_in_the_trash_comes_back(studio, deleted):
    assert studio.post("/api/trash/restore", json={"deleted": deleted}).status_code == 400


def test_a_run_that_trains_stays(studio, tmp_path):
    (run,) = listed(studio).values()
    with RunFolder(tmp_path / "runs" / "group" / "mine").locked():
        for action, body in (("delete", {}), ("rename", {"name": "yours"})):
            assert studio.post(f"/api/runs/{run}/{action}", json=body).status_code == 409
    assert listed(studio) == {"group/mine": run}


def test_a_run_that_is_shown_alone_stays(client_of, root):
    client = client_of(root / "digits-tiny", known=True)
    (run,) = listed(client).values()
    for action, body in (("delete", {}), ("rename", {"name": "other"})):
        assert client.post(f"/api/runs/{run}/{action}", json=body, headers=HEADERS).status_code == 400
    assert client.post(f"/api/runs/{run}/delete", json={}).status_code == 403
