"""A full disk, and folders that may not be read or written, or are gone: a sentence, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import DataError, FromNoiseError, WriteError
from fromnoise.common.files import check_writable
from fromnoise.data import load
from fromnoise.run import Run
from fromnoise.run.folder import RunFolder
from fromnoise.run.metrics_file import MetricsFile
from fromnoise.run.staging import staged_folder, vacant
from fromnoise.train import checkpoint
from fromnoise.train.checkpoint_files import list_checkpoints, read_checkpoint

posix = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions of POSIX")


def weights(run: Run) -> dict[str, bytes]:
    files = read_checkpoint(run.newest_checkpoint())
    return {name: content for name, content in files.items() if name.endswith("safetensors")}


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom permissions bind: root may do everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone can reach."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    for each in path.rglob("*"):
        each.chmod(0o700)
    shutil.rmtree(path)


@pytest.fixture
def theirs(tiny_run: Run, open_folder: Path) -> Path:
    """A copy of a finished run that belongs to nobody."""
    path = Path(shutil.copytree(tiny_run.path, open_folder / "run"))
    if os.geteuid() == 0:
        for each in (path, *path.rglob("*")):
            os.chown(each, 65534, 65534)
    return path


def trains_until(run: Run, step: int, then: Any) -> None:
    for done in run.steps():
        if done.step == step:
            then()


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_run_folder_that_goes_while_it_trains(tmp_path: Path, tiny_settings: dict[str, Any], how: str) -> None:
    run = Run.create(
        "digits", output_dir=tmp_path / "r", settings={**tiny_settings, "train.checkpoint_every": "0.001s"}
    )
    away = {"deleted": lambda: shutil.rmtree(run.path), "moved": lambda: run.path.rename(tmp_path / "other")}
    with pytest.raises(WriteError, match=r"\br\b.*gone") as caught:
        trains_until(run, 3, away[how])
    assert caught.value.exit_code == 6 and not run.path.exists(), "nothing began another folder in its place"
    if how == "moved":
        assert Run(tmp_path / "other").train().newest_checkpoint().name.endswith("640")


@pytest.mark.skipif(os.name != "posix", reason="the working folder cannot be deleted")
def test_a_working_folder_that_goes(tmp_path: Path, tiny_settings: dict[str, Any], monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = Run.create("digits", output_dir="r", settings=tiny_settings)
    try:
        with pytest.raises(WriteError, match="gone"):
            trains_until(run, 3, lambda: shutil.rmtree(tmp_path / "here"))
    finally:
        os.chdir(tmp_path)


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, tiny_run: Run, tiny_settings: dict[str, Any], monkeypatch: Any, capsys: Any
) -> None:
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)

    def full(*_: Any) -> None:
        raise WriteError("cannot write metrics.jsonl (No space left on device); free some space")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "append", full)
        run.train()
    assert weights(run) == weights(tiny_run) and run.folder.read_metrics() == []
    assert capsys.readouterr().err.count("No space left") == 1
    list(Run(run.path).steps())
    steps = [[line["step"] for line in r.folder.read_metrics() if "step" in line] for r in (run, tiny_run)]
    assert steps[0] == steps[1], "written when there was room, from the checkpoint"


def test_a_preview_that_cannot_be_written_stops_nothing(
    tmp_path: Path, tiny_run: Run, tiny_settings: dict[str, Any]
) -> None:
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    (run.folder.samples / "preview-00000640.png").mkdir(parents=True)
    assert weights(run.train()) == weights(tiny_run)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, tiny_run: Run, tiny_settings: dict[str, Any], monkeypatch: Any
) -> None:
    run = Run.create("digits", output_dir=tmp_path / "r", settings={**tiny_settings, "train.checkpointing_steps": 3})
    write = checkpoint.write_checkpoint

    def full(folder: Path, images: int, files: dict[str, bytes]) -> Path:
        if images > 192:
            raise WriteError(f"cannot write the checkpoint {folder}: No space left on device; free some space")
        return write(folder, images, files)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_checkpoint", full)
        with pytest.raises(WriteError) as caught:
            run.train()
    assert caught.value.exit_code == 6 and run.newest_checkpoint().name == "00000192"
    assert weights(Run(run.path).train()) == weights(tiny_run)


@pytest.mark.parametrize("place", ["checkpoints", "averages", "samples", "metrics.jsonl"])
def test_what_is_in_the_way_is_noticed_before_training(
    tmp_path: Path, tiny_settings: dict[str, Any], place: str
) -> None:
    run = Run.create("digits", output_dir=tmp_path / "r", settings=tiny_settings)
    way = run.path / place
    way.mkdir() if place.endswith("jsonl") else way.touch()
    steps: list[int] = []
    with pytest.raises(FromNoiseError, match=place.replace(".", r"\.")) as caught:
        steps += [step.step for step in run.steps()]
    assert steps == [] and caught.value.exit_code in (4, 6)


UNREADABLE = {".": (4, 6), "checkpoints": (4, 6), "metrics.jsonl": (4, 6), "config.json": (4,)}


@posix
@pytest.mark.parametrize("verb", ["sample", "show", "train", "compare", "diagnose", "evaluate"])
@pytest.mark.parametrize("place", UNREADABLE)
def test_what_may_not_be_read_is_said(theirs: Path, capsys: Any, verb: str, place: str) -> None:
    (theirs / place).chmod(0)
    words = {
        "sample": ["sample", str(theirs), "--num", "1"],
        "compare": ["compare", str(theirs), str(theirs)],
        "train": ["train", "--resume", str(theirs)],
        "evaluate": ["evaluate", str(theirs), "--num", "20"],
    }.get(verb, [verb, str(theirs)])
    if place == "metrics.jsonl" and verb in ("sample", "evaluate"):
        return  # they do not read it
    with as_nobody():
        code = main(words)
    (theirs / place).chmod(0o700)
    said = capsys.readouterr().err
    assert code in UNREADABLE[place] and str(theirs) in said and "Traceback" not in said


@posix
@pytest.mark.parametrize("place", [".", "checkpoints", "averages", "samples", "metrics.jsonl", "run.lock"])
def test_what_may_not_be_written_is_noticed_before_training(
    theirs: Path, tiny_settings: dict[str, Any], place: str
) -> None:
    for folder in ("averages", "samples"):
        (theirs / folder).mkdir(exist_ok=True)
    newest = list_checkpoints(theirs / "checkpoints")[-1]
    shutil.rmtree(newest)
    (theirs / place).chmod(0o555)
    steps: list[int] = []
    with as_nobody(), pytest.raises(WriteError) as caught:
        steps += [step.step for step in Run(theirs).steps()]
    assert steps == [] and str(theirs) in str(caught.value)


@posix
def test_a_new_run_where_nothing_may_be_written(open_folder: Path, tiny_settings: dict[str, Any]) -> None:
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0o555)
    with as_nobody(), pytest.raises(WriteError, match="closed"):
        Run.create("digits", output_dir=open_folder / "closed" / "r", settings=tiny_settings)


def test_a_folder_is_there_or_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="gone"):
        RunFolder(tmp_path / "none").check_present()


@posix
def test_a_place_that_cannot_be_looked_into_is_one_to_write_to_in_vain(open_folder: Path, capsys: Any) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    load("digits")  # what is imported for it may be out of nobody's reach
    with as_nobody():
        code = main(["train", "digits", "--num_images", "8", "--output_dir", str(open_folder / "closed" / "run")])
    said = capsys.readouterr().err
    assert code == WriteError.exit_code and "--output_dir" in said and "read" not in said.partition(": ")[2]


@posix
def test_a_resumed_run_that_cannot_be_written_is_not_sent_elsewhere(theirs: Path, capsys: Any) -> None:
    theirs.chmod(0o555)
    with as_nobody():
        code = main(["train", "--resume", str(theirs)])
    said = capsys.readouterr().err
    assert code == WriteError.exit_code and "--output_dir" not in said and str(theirs) in said


@posix
def test_places_of_data_that_may_not_be_looked_into_hold_none(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("FROMNOISE_DATA", str(closed / "data"))
    monkeypatch.setenv("FROMNOISE_CACHE", str(closed / "cache"))
    for user in (nullcontext(), as_nobody()):  # what is imported for it may be out of nobody's reach
        with user:
            codes = [main(["data", "list"]), main(["data", "fetch", "mnist"])]
            assert codes == [0, DataError.exit_code] and "mnist" in capsys.readouterr().out


@posix
def test_images_that_may_not_be_looked_at_are_not_called_gone(open_folder: Path) -> None:
    (open_folder / "closed" / "photos").mkdir(parents=True)
    (open_folder / "closed").chmod(0o700)
    with as_nobody(), pytest.raises(DataError, match=r"photos may not be read.*allow"):
        load(open_folder / "closed" / "photos")


@posix
def test_a_place_for_a_folder_that_may_not_be_looked_into(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with as_nobody():
        for place in (closed, closed / "run", closed / "a" / "run"):
            with pytest.raises(WriteError, match=r"closed.*--output_dir"):
                vacant(place)
            with pytest.raises(WriteError, match=r"closed.*elsewhere"), staged_folder(place, "mark", "go elsewhere"):
                pass
            with pytest.raises(WriteError, match="closed"):
                check_writable(place / "file.json")
