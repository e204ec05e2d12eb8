"""metrics.jsonl: a damaged line costs itself, and a full disk costs nothing that is there."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.run.metrics_file import MetricsFile

STEP = {"step": 1, "images": 64, "loss": 0.5, "learning_rate": 1e-3, "images_per_second": 9.0, "seconds": 1.0}
VALIDATION = {"event": "validation", "images": 64, "loss": 0.5, "train_loss": 0.4, "t": [0.5], "by_noise": [0.5]}


def steps(*numbers: int) -> list[dict[str, Any]]:
    return [{**STEP, "step": n, "images": 64 * n} for n in numbers]


@pytest.fixture
def file(tmp_path: Path) -> MetricsFile:
    return MetricsFile(tmp_path / "metrics.jsonl")


def test_lines_come_back_as_they_were(file: MetricsFile) -> None:
    assert file.read() == ([], 0)
    file.append([*steps(1), VALIDATION])
    file.append(steps(2))
    assert file.read() == ([*steps(1), VALIDATION, *steps(2)], 0)


DAMAGED = {
    "no UTF-8": b"\xff",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "a number": b"3",
    "a list": b"[1]",
    "empty": b"{}",
    "no images": json.dumps({key: value for key, value in STEP.items() if key != "images"}).encode(),
    "no loss": json.dumps({key: value for key, value in STEP.items() if key != "loss"}).encode(),
    "text for a number": json.dumps({**STEP, "seconds": "soon"}).encode(),
    "images below 0": json.dumps({**STEP, "images": -1}).encode(),
    "images beyond all": json.dumps({**STEP, "images": 10**30}).encode(),
    "an event that is no text": json.dumps({**VALIDATION, "event": ["validation"]}).encode(),
    "an event without its values": b'{"event": "validation", "images": 3}',
    "numbers that are none": json.dumps({**VALIDATION, "t": 3}).encode(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_is_left_out_and_counted(file: MetricsFile, name: str) -> None:
    file.append(steps(1))
    file.path.write_bytes(file.path.read_bytes() + DAMAGED[name] + b"\n")
    file.append(steps(2, 3))
    assert file.read() == (steps(1, 2, 3), 1)
    assert file.rewind(128) == 1 and file.read()[0] == steps(1, 2)


def test_a_line_that_a_kill_cut_short_does_not_take_the_next_with_it(file: MetricsFile) -> None:
    file.append(steps(1, 2))
    file.path.write_bytes(file.path.read_bytes()[:-9])
    file.append(steps(2))
    assert file.read() == (steps(1, 2), 1)


def test_a_loss_that_was_not_finite_is_written_as_json_and_read_as_nan(file: MetricsFile) -> None:
    file.append([{**STEP, "loss": math.nan}, {**VALIDATION, "by_noise": [math.inf]}])
    assert b"NaN" not in file.path.read_bytes() and b"Infinity" not in file.path.read_bytes()
    file.path.write_bytes(file.path.read_bytes() + json.dumps({**STEP, "loss": math.nan}).encode() + b"\n")
    lines, damaged = file.read()
    assert damaged == 0 and all(math.isnan(line["loss"]) for line in (lines[0], lines[2]))
    assert math.isnan(lines[1]["by_noise"][0])


def test_any_bit_may_flip(file: MetricsFile) -> None:
    file.append([*steps(*range(1, 30)), VALIDATION])
    content, rng = file.path.read_bytes(), random.Random(0)
    for _ in range(300):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.path.write_bytes(flipped)
        lines, damaged = file.read()
        assert len(lines) >= 28 and damaged <= 2
        file.rewind(64 * 20)
        assert all(line["images"] <= 64 * 20 for line in file.read()[0])


def test_rewinding_needs_no_space(file: MetricsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.append(steps(1, 2, 3))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert file.rewind(128) == 0 and file.read() == (steps(1, 2), 0)
    before = file.path.stat().st_mtime_ns
    file.rewind(128)
    assert file.path.stat().st_mtime_ns == before, "nothing is left to drop"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"metrics\.jsonl.*space"):
        MetricsFile(tmp_path / "metrics.jsonl").append(steps(1))


def test_what_is_not_a_file_is_said(file: MetricsFile) -> None:
    file.path.mkdir()
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl"):
        file.read()
    with pytest.raises(WriteError, match=r"metrics\.jsonl"):
        file.append(steps(1))
