"""Verbs as buttons: the ordinary commands, their output, and what they leave."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from fromnoise.run.folder import RunFolder
from fromnoise.studio.tools import TOOLS, Tools, exported

HEADERS = {"origin": "http://127.0.0.1:8420"}


@pytest.fixture
def folder(root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def tools():
    made = Tools()
    yield made
    made.close()


def ended(tools, folder, name, seconds=180):
    deadline = time.monotonic() + seconds
    while (state := tools.states(folder)[name])["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return state


def test_a_tool_does_what_the_command_does(tools, folder):
    tools.begin(folder, "show")
    assert tools.states(folder)["diagnose"] is None and tools.at_work
    state = ended(tools, folder, "show")
    assert not tools.at_work
    assert state["state"] == "done" and state["lines"][-1] == str(folder.report) and folder.report.is_file()


def test_a_tool_that_fails_says_why(tools, folder):
    shutil.rmtree(folder.checkpoints)
    tools.begin(folder, "diagnose")
    state = ended(tools, folder, "diagnose")
    assert state["state"] == "failed" and "checkpoint" in state["lines"][-1]


def test_a_tool_is_stopped_and_leaves_nothing(tools, folder):
    tools.begin(folder, "evaluate-10000")
    tools.stop(folder, "evaluate-10000")
    assert ended(tools, folder, "evaluate-10000", 30)["state"] == "stopped" and not folder.evaluation.exists()


def test_what_a_tool_did_goes_with_its_run(tools, folder):
    shutil.rmtree(folder.checkpoints)
    tools.begin(folder, "diagnose")
    ended(tools, folder, "diagnose")
    moved = folder.path.rename(folder.path.with_name("renamed"))
    shutil.copytree(moved, folder.path)  # another run under the old name
    assert tools.states(folder)["diagnose"] is None
    assert tools.states(RunFolder(moved))["diagnose"]["state"] == "failed"


def test_the_page_begins_only_what_is_listed(client_of, folder):
    client = client_of(folder.path.parent, known=True)
    run = client.get("/api/runs").json()["runs"][0]["id"]
    for name in ("train", "sample", "../show", "", "export-hub"):
        assert client.post(f"/api/runs/{run}/tools/begin", json={"name": name}, headers=HEADERS).status_code == 400
    assert "export-hub" not in TOOLS
    assert (
        client_of(folder.path.parent)
        .post(f"/api/runs/{run}/tools/begin", json={"name": "show"}, headers=HEADERS)
        .status_code
        == 401
    )


def test_exports_are_files_to_be_saved(client_of, folder, tmp_path):
    (folder.path / "exports").mkdir()
    (folder.path / "exports" / "model.html").write_text("<script>alert(1)</script>")
    (tmp_path / "secret").write_text("secret")
    (folder.path / "exports" / "link.html").symlink_to(tmp_path / "secret")
    assert json.loads(json.dumps(exported(folder)))["model.html"] == 25
    client = client_of(folder.path.parent)
    place = f"/api/runs/{client.get('/api/runs').json()['runs'][0]['id']}/exports"
    answer = client.get(f"{place}/model.html")
    assert answer.content == b"<script>alert(1)</script>" and "attachment" in answer.headers["content-disposition"]
    assert answer.headers["content-type"] == "application/octet-stream"
    for name in ("link.html", "other.html", "%2e%2e%2fconfig.json"):
        assert client.get(f"{place}/{name}").status_code == 404
