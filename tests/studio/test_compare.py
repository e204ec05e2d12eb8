"""Runs side by side: what differs, and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest

from fromnoise.common.stored_json import signed


@pytest.fixture
def pair(root, tmp_path):
    """A folder with two runs: the second has another batch size and seed, and lacks a setting."""
    for name in ("one", "two"):
        shutil.copytree(root / "digits-tiny", tmp_path / name)
    place = tmp_path / "two" / "config.json"
    record = json.loads(place.read_text())
    record["settings"]["train"] |= {"train_batch_size": 32, "seed": 7}
    del record["settings"]["data"]["store"], record["sha256"]  # as a version wrote that had no such setting
    place.write_text(json.dumps(signed(record)))
    return tmp_path


def test_only_the_settings_that_differ_are_listed(client_of, pair):
    client = client_of(pair)
    rows = {row["name"]: row["id"] for row in client.get("/api/runs").json()["runs"]}
    found = client.get("/api/compare", params={"runs": f"{rows['one']},{rows['two']}"}).json()
    assert sorted(found["settings"]) == [["train.seed", "0", "7"], ["train.train_batch_size", "64", "32"]]
    assert found["measures"] == [] and found["notes"] == []


def test_a_damaged_evaluation_is_noted(client_of, pair):
    (pair / "one" / "evaluation.json").write_text('{"schema": 2}')
    client = client_of(pair)
    ids = ",".join(row["id"] for row in client.get("/api/runs").json()["runs"])
    (note,) = client.get("/api/compare", params={"runs": ids}).json()["notes"]
    assert "one" in note and "evaluation.json" in note


@pytest.mark.parametrize("runs, status", [("", 400), ("a", 400), ("a,a", 400), ("a,b", 404), ("a,b,c,d,e,f,g", 400)])
def test_too_few_too_many_and_unknown_runs(client, runs, status):
    assert client.get("/api/compare", params={"runs": runs}).status_code == status
