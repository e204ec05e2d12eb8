"""Trackers are given every value of metrics.jsonl once, also over a resume; one that fails or hangs costs a warning."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.extras import PACKAGES
from fromnoise.report import trackers
from fromnoise.report.trackers import row_of
from fromnoise.run import Run, tracking

CHECKOUT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "net.width": 8,
    "net.depth": 1,
    "train.num_images": 640,
    "train.train_batch_size": 64,
    "train.previews": 2,
    "train.validations": 2,
    "train.log_every": 1,
    "train.checkpointing_steps": 4,
    "sample.steps": 3,
}


def begin(folder: Path, name: str | None, **more: object) -> Run:
    return Run.create("digits", output_dir=folder, settings={**SETTINGS, "train.report_to": name, **more})


def wanted(run: Run) -> list[tuple[int, dict[str, float | str]]]:
    """All that metrics.jsonl holds, as rows with their images."""
    return [(line["images"], row_of(line)) for line in run.folder.read_metrics()]


def training_of(run: Run, steps: int) -> None:
    """Train some steps and be gone, without a last checkpoint."""
    going = run.steps()
    for _ in range(steps):
        next(going)
    going.close()


class Kept:
    """A tracker that keeps what it is given."""

    rows: list[tuple[int, dict[str, float | str]]]
    previews: list[int]
    where = "here"

    def __init__(self, run: trackers.TrackedRun) -> None:
        self.run = run
        self.opened.append(run)

    def log(self, row: dict[str, float | str], images: int, seconds: float) -> None:
        self.rows.append((images, row))

    def show(self, preview: Path, images: int, seconds: float) -> None:
        assert Image.open(preview).size
        self.previews.append(images)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    kind = type("KeptHere", (Kept,), {"rows": [], "previews": [], "opened": []})
    monkeypatch.setitem(trackers.TRACKERS, "wandb", kind)
    monkeypatch.setitem(sys.modules, "wandb", type(sys)("wandb"))
    return kind


def test_rows_are_flat_and_named_by_the_kind_of_line() -> None:
    assert row_of({"step": 3, "images": 9, "loss": 0.5}) == {"train/step": 3, "train/loss": 0.5}
    validation = {"event": "validation", "images": 9, "by_noise": [1.0, 2.0], "note": "x", "planned": None}
    assert row_of(validation) == {"validation/by_noise/0": 1.0, "validation/by_noise/1": 2.0, "validation/note": "x"}
    assert row_of({"event": "out of memory", "images": 9, "micro_batch": 2}) == {"out_of_memory/micro_batch": 2}


def test_tensorboard_holds_every_value_over_a_resume(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    training_of(begin(tmp_path / "run", "tensorboard"), 7)
    run = begin(tmp_path / "run", "tensorboard").train()
    assert run.report_to("tensorboard") == str(run.path / "tensorboard")

    read = reader.EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    read.Reload()
    expected: dict[str, list[tuple[int, float]]] = {}
    for images, row in wanted(run):
        for name, value in row.items():
            expected.setdefault(name, []).append((images, float(np.float32(value))))
    assert len(expected) > 10 and set(read.Tags()["scalars"]) == set(expected)
    for name, values in expected.items():
        assert [(one.step, one.value) for one in read.Scalars(name)] == values

    shown = {one.step: Image.open(io.BytesIO(one.encoded_image_string)) for one in read.Images("preview")}
    drawn = {int(path.stem[-8:]): Image.open(path) for path in run.folder.samples.glob("preview-*.png")}
    assert set(shown) == set(drawn) and len(drawn) == 2
    assert all(np.array_equal(shown[at].convert("RGB"), drawn[at].convert("RGB")) for at in drawn)
    start = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"train.learning_rate" in start and b"net.width" in start


def test_a_tracker_that_keeps_rows_gets_each_once(tmp_path: Path, kept: type[Kept]) -> None:
    training_of(begin(tmp_path / "run", "wandb"), 7)
    assert max(images for images, _ in kept.rows) > 4 * 64  # beyond the checkpoint, to which the run goes back
    run = begin(tmp_path / "run", "wandb").train()
    assert run.report_to("wandb") == "here"

    def order(row: tuple[int, dict[str, float | str]]) -> tuple[int, list[str]]:
        return row[0], sorted(row[1])

    expected = sorted(wanted(run), key=order)
    assert [order(row) for row in sorted(kept.rows, key=order)] == [order(row) for row in expected]
    losses = {images: row["train/loss"] for images, row in kept.rows if "train/loss" in row}
    assert losses == {images: row["train/loss"] for images, row in expected if "train/loss" in row}
    assert kept.previews == [320, 640]
    assert {run.identity for run in kept.opened} == {kept.opened[0].identity}
    assert kept.opened[-1].rows == len(kept.rows) + len(kept.previews)
    assert kept.opened[0].settings["train.train_batch_size"] == 64


@pytest.mark.parametrize("where", ["open", "log"])
def test_a_tracker_that_fails_costs_one_warning(
    tmp_path: Path, kept: type[Kept], where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("no route to the tracker")

    monkeypatch.setattr(kept, "__init__" if where == "open" else "log", fail)
    run = begin(tmp_path / "run", "wandb").train()
    assert capsys.readouterr().err.count("no route to the tracker") == 1
    plain = begin(tmp_path / "plain", None).train()
    ours, theirs = (one.checkpoint() / "model.safetensors" for one in (run, plain))
    assert ours.read_bytes() == theirs.read_bytes()
    with pytest.raises(WriteError, match="no route to the tracker"):
        run.report_to("wandb")


def test_a_tracker_that_hangs_is_left(
    tmp_path: Path, kept: type[Kept], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(kept, "log", lambda *_: answer.wait(60) and None)
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    try:
        begin(tmp_path / "run", "wandb").train()
        assert capsys.readouterr().err.count("warning: wandb does not answer") == 1
    finally:
        answer.set()


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_missing_library_is_refused_before_a_folder_is_made(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    folder = tmp_path / "run"
    assert main(["train", "digits", "--output_dir", str(folder), "--report_to", name]) == UsageError.exit_code
    assert f"pip install {PACKAGES[name]}" in capsys.readouterr().err and not folder.exists()


def test_show_takes_one_view(tmp_path: Path) -> None:
    assert main(["show", str(tmp_path), "--trajectory", "--report_to", "tensorboard"]) == UsageError.exit_code


OFFLINE = {
    "wandb": """
import glob, json, sys
from wandb.proto.wandb_internal_pb2 import Record
for path in sorted(glob.glob(sys.argv[1] + "/wandb/offline-run-*/*.wandb")):
    content, part = open(path, "rb").read(), b""
    at = 7  # behind the header; then blocks of 32768 bytes with records of (checksum, length, kind)
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = Record.FromString(part)
            part = b""
            if record.WhichOneof("record_type") == "history":
                names = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
                print(json.dumps(names))
""",
    "trackio": """
import json
from trackio.sqlite_storage import SQLiteStorage
for run in SQLiteStorage.get_runs("fromnoise"):
    for row in SQLiteStorage.get_logs("fromnoise", run if isinstance(run, str) else run["name"]):
        print(json.dumps(row, default=str))
""",
}


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, python_with: Callable[[str], Path]) -> Path:
    """The python of an environment that has this tracker, and everything else from here."""
    return python_with(PACKAGES[request.param])


@pytest.mark.slow
@pytest.mark.parametrize("environment, name", [(name, name) for name in OFFLINE], indirect=["environment"])
def test_a_tracker_is_read_back_offline(
    tmp_path: Path, environment: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("WANDB_MODE", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT / "src"))
    folder = tmp_path / "run"
    training_of(begin(folder, None), 7)
    run = Run(folder)

    def call(*arguments: str | Path) -> str:
        done = subprocess.run([environment, *arguments], capture_output=True, text=True, timeout=200, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    call("-m", "fromnoise", "show", folder, "--report_to", name)
    call("-m", "fromnoise", "train", "--resume", folder, "--report_to", name)
    call("-m", "fromnoise", "show", folder, "--report_to", name)
    rows = [json.loads(line) for line in call("-c", OFFLINE[name], folder).splitlines()]

    found = [(row["images"], {key: row[key] for key in row if "/" in key}) for row in rows if "preview" not in row]
    expected = wanted(run)
    assert len(found) == len(expected) and sum("preview" in row for row in rows) == 2
    timed = ("seconds", "images_per_second")  # of steps that were trained again, those of the first time stay

    def plain(rows: list[tuple[int, dict[str, float | str]]]) -> list[tuple[int, list[tuple[str, float | str]]]]:
        return sorted((at, sorted(pair for pair in row.items() if not pair[0].endswith(timed))) for at, row in rows)

    assert plain(found) == plain(expected)
