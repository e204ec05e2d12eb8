"""Curves of a log that grows: all of it is read once, and little of it is sent."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fromnoise.studio.series import RunLog, Window, curves


def lines(first, last, loss=lambda i: 1 / (1 + i)):
    return "".join(
        json.dumps({"step": i, "images": 10 * i, "loss": loss(i), "images_per_second": 5.0, "seconds": i / 2}) + "\n"
        for i in range(first, last)
    )


def test_few_points_stay_as_they_are(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1, 5))
    log = RunLog(path)
    log.update()
    found = curves(log, Window(smoothing=0))
    assert found["loss"]["x"] == [10, 20, 30, 40] and found["loss"]["smooth"] == [1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert found["span"] == [10, 40] and curves(log, Window(by="seconds"))["loss"]["x"] == [0.5, 1, 1.5, 2]


def test_a_spike_among_many_points_stays(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(0, 20_000, lambda i: 99.0 if i == 12_345 else 0.5))
    log = RunLog(path)
    log.update()
    loss = curves(log, Window(points=300))["loss"]
    assert len(loss["x"]) == len(loss["low"]) <= 300 and max(loss["high"]) == 99.0
    assert abs(loss["x"][loss["high"].index(99.0)] - 123_450) < 200_000 / 300
    near = curves(log, Window(first=123_400, last=123_500, smoothing=0))["loss"]
    assert near["x"] == list(range(123_400, 123_501, 10)) and near["smooth"][5] == 99.0


def test_what_is_added_is_read_on_and_what_is_cut_off_is_gone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1, 4) + '{"event": "epoch", "epoch": 1, "images": 30, "loss": 0.4}\n{"step": 4, "ima')
    log = RunLog(path)
    log.update()
    assert log.column("images").tolist() == [10, 20, 30] and [event["epoch"] for event in log.events] == [1]
    with path.open("a") as file:
        file.write('ges": 40, "loss": 0.1, "images_per_second": 1.0, "seconds": 2.0}\nnonsense\n')
    log.update()
    assert log.column("images").tolist() == [10, 20, 30, 40]
    path.write_text(lines(1, 3))
    log.update()
    assert log.column("images").tolist() == [10, 20] and log.events == []
    with path.open("r+") as file:  # a resume cut it in its place, and it has grown past where it was
        file.truncate(len(lines(1, 2)))
        file.seek(0, 2)
        file.write(lines(2, 9, lambda i: 7.0))
    log.update()
    assert log.column("loss").tolist() == [1 / 2, *[7.0] * 7]


def test_losses_that_are_not_finite_leave_a_gap(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(1, 3) + lines(3, 4).replace("0.25", "null") + lines(4, 6))
    log = RunLog(path)
    log.update()
    assert math.isnan(log.column("loss")[2]) and len(curves(log, Window())["loss"]["x"]) == 4


@pytest.mark.parametrize("content", ["", "\n\n", "{}", "[1]\n", '{"images": 1e999}\n', '{"images": -1, "step": 1}\n'])
def test_a_file_without_lines_has_no_curves(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    log = RunLog(path)
    log.update()
    path.write_text(content)
    log.update()
    found = curves(log, Window())
    assert found["span"] is None and found["loss"]["x"] == [] and np.asarray(found["events"]).size == 0
