"""The table of runs: found, read once, and read again when something changes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time

from fromnoise.run.folder import RunFolder
from fromnoise.run.status import noted
from fromnoise.studio import index as module
from fromnoise.studio.index import RunIndex


def only(index):
    (row,) = index.rows().values()
    return row


def test_a_row_is_what_the_run_says(tiny_run, root):
    row, lines = only(RunIndex(root)), tiny_run.folder.read_metrics()
    steps = [line for line in lines if "step" in line]
    held = [line for line in lines if line.get("event") == "validation"]
    assert (row["name"], row["recipe"], row["data"]) == ("digits-tiny", "default", "digits")
    assert (row["images"], row["loss"], row["seconds"]) == tuple(
        steps[-1][key] for key in ("images", "loss", "seconds")
    )
    assert row["validation"] == held[-1]["loss"] and row["preview"] == 640
    assert (row["state"], row["done"], row["left"]) == ("finished", 1.0, 0.0)


def test_a_validation_far_from_the_end_of_the_log_is_found(root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    held = [line for line in folder.read_metrics() if line.get("event") == "validation"]
    step = {"images": 704, "loss": 0.5, "images_per_second": 1.0, "seconds": 9.0}
    folder.append_metrics([{"step": 11 + i, **step} for i in range(2000)])
    assert folder.metrics.stat().st_size > 100_000
    row = only(RunIndex(tmp_path))
    assert row["validation"] == held[-1]["loss"] and row["loss"] == 0.5


def test_a_run_is_listed_by_itself_and_below(root):
    itself, below = only(RunIndex(root / "digits-tiny")), only(RunIndex(root))
    assert itself["name"] == below["name"] == "digits-tiny" and itself["loss"] == below["loss"]


def test_none_yet_and_a_folder_that_is_not_there(tmp_path):
    index = RunIndex(tmp_path / "runs")
    assert index.rows() == {} and index.folder("0" * 16) is None
    (tmp_path / "runs").mkdir()
    assert index.rows() == {}


def test_a_change_is_seen_and_nothing_else_is_read_again(root, tmp_path, monkeypatch):
    for name in ("one", "two"):
        shutil.copytree(root / "digits-tiny", tmp_path / name)
    index, read = RunIndex(tmp_path), []
    monkeypatch.setattr(
        module, "summary", lambda folder, real=module.summary: read.append(folder.path.name) or real(folder)
    )
    assert len(index.rows()) == 2 and sorted(read) == ["one", "two"]
    index.rows()
    assert len(read) == 2
    RunFolder(tmp_path / "one").append_metrics(
        [{"step": 11, "images": 704, "loss": 0.5, "images_per_second": 1.0, "seconds": 9.0}]
    )
    rows = {row["name"]: row for row in index.rows().values()}
    assert rows["one"]["loss"] == 0.5 and rows["two"]["loss"] != 0.5 and read[2:] == ["one"]
    shutil.rmtree(tmp_path / "two")
    assert [row["name"] for row in index.rows().values()] == ["one"]


def test_a_training_is_seen_to_train_and_to_end(root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    index, folder = RunIndex(tmp_path), RunFolder(tmp_path / "run")
    with folder.locked(), noted(folder):
        assert only(index)["state"] == "training"
    assert only(index)["state"] == "finished"


def test_a_damaged_run_is_shown_with_its_reason(root, tmp_path):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["sigma_data"] = 7.0
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    row = only(RunIndex(tmp_path))
    assert row["state"] == "failed" and "config.json" in row["error"]


def test_a_thousand_runs_are_listed_at_once(root, tmp_path):
    config, metrics = ((root / "digits-tiny" / name).read_bytes() for name in ("config.json", "metrics.jsonl"))
    for number in range(1000):
        folder = tmp_path / f"run-{number:04d}"
        (folder / "samples").mkdir(parents=True)
        (folder / "config.json").write_bytes(config)
        (folder / "metrics.jsonl").write_bytes(metrics)
    index = RunIndex(tmp_path)
    began = time.monotonic()
    assert len(index.rows()) == 1000
    print(f"read for the first time: {time.monotonic() - began:.2f} s")
    began = time.monotonic()
    assert len(index.rows()) == 1000
    assert time.monotonic() - began < 1, "promised: a second, once they were read"


def test_a_folder_that_cannot_be_looked_into_holds_no_run(root, tmp_path, monkeypatch):
    shutil.copytree(root / "digits-tiny", tmp_path / "run")
    (tmp_path / "closed").mkdir()
    stat = os.stat

    def refused(path, *rest, **how):
        if "closed" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return stat(path, *rest, **how)

    monkeypatch.setattr(os, "stat", refused)
    assert only(RunIndex(tmp_path))["name"] == "run"


def test_a_run_that_goes_while_it_is_looked_for_is_not_there(tmp_path, monkeypatch):
    """Another thread looks again between the look that finds a run and the answer."""
    monkeypatch.setattr(RunIndex, "rows", lambda self: {"0123456789abcdef": {}})
    assert RunIndex(tmp_path).folder("0123456789abcdef") is None
