"""Exports and imports that fail: named, with their exit code, nothing half written, and what was there stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fromnoise.cli import main
from fromnoise.common import leftovers
from fromnoise.export.runtime import BINARY, SCRIPT
from fromnoise.export.verification import Reference
from fromnoise.train.checkpoint_files import list_checkpoints

pytest.importorskip("diffusers")
pytest.importorskip("onnxruntime")
NAMES = {"diffusers": "model", "space": "space", "onnx": "model.onnx", "torch": "model.pt2", "html": "model.html"}


@pytest.fixture(scope="module")
def page_runtime(tmp_path_factory):
    """A folder in the place of onnxruntime-web, which a page that nobody opens does not need."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in (SCRIPT, BINARY):
        (folder / name).write_bytes(b"\n")
    return folder


@pytest.fixture
def export(run, page_runtime):
    """export(kind, path, *flags): the exit code of the command."""

    def command(kind, path, *flags, of=run):
        more = ["--runtime", str(page_runtime)] if kind == "html" else []
        return main(["export", str(of), "--to", kind, str(path), *more, *flags])

    return command


@pytest.fixture
def quick(monkeypatch):
    """Exports that are not compared: the comparison is tested elsewhere, and these tests are of writing."""
    from fromnoise.export.html_file import HtmlFile
    from fromnoise.export.onnx_file import OnnxFile
    from fromnoise.export.torch_file import TorchFile

    monkeypatch.setattr("fromnoise.run.export.run_check", lambda *_, **__: None)
    monkeypatch.setattr(Reference, "difference", lambda *_: 0.0)
    monkeypatch.setattr("fromnoise.export.diffusers_files.STEP_COUNTS", ())
    monkeypatch.setattr("fromnoise.export.onnx_file.onnx_file", lambda *_, **__: OnnxFile(b"onnx", {}, 0.0))
    monkeypatch.setattr("fromnoise.export.torch_file.torch_file", lambda *_, **__: TorchFile(b"torch", {}, 0.0))
    monkeypatch.setattr("fromnoise.export.html_file.html_file", lambda *_, **__: HtmlFile(b"page", 0.0, False))


WRITES = ("write_bytes", "open", "mkdir", "rename", "replace")


@contextmanager
def failing_write(folder, at, number=errno.ENOSPC, writes=WRITES):
    """The `at`-th of `writes` in `folder` fails; yields the number of writes so far, as a list of one."""
    count = [0]

    def watched(name, original):
        def call(path, *args, **kwargs):
            reads = name == "open" and "r" in (args[0] if args else kwargs.get("mode", "r"))
            if not reads and folder in Path(path).absolute().parents:
                count[0] += 1
                if count[0] == at:
                    raise OSError(number, os.strerror(number), str(path))
            return original(path, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in writes:
            patch.setattr(Path, name, watched(name, getattr(Path, name)))
        patch.setattr("fromnoise.run.staging.exchange", lambda *_: False)
        yield count


def content(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def fails_at_every_write(folder, command, capsys, writes=WRITES):
    """How often `command` could fail in `folder` for want of space, with exit code 6 and nothing changed each time."""
    before = content(folder)
    for at in range(1, 200):
        with failing_write(folder, at, writes=writes) as count:
            code = command()
        said = capsys.readouterr().err.strip().splitlines()
        if count[0] < at:
            assert code == 0
            return at - 1
        assert code == 6 and "No space left" in said[-1] and ".tmp" not in said[-1], (at, said)
        assert content(folder) == before, at
    raise AssertionError("it never ended")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("kind", NAMES)
def test_a_full_disk_at_any_write_of_an_export_changes_nothing(kind, there, export, quick, tmp_path, capsys):
    path = tmp_path / "place" / NAMES[kind]
    if there:
        assert export(kind, path, "--weights", "raw") == 0
    # Two files cannot take their places in one step, and what is written has no need of space there.
    writes = WRITES[:3] if kind in ("onnx", "torch") else WRITES
    words = [] if kind == "html" else ["--license", "mit"]  # a page has no card
    failures = fails_at_every_write(tmp_path, lambda: export(kind, path, *words), capsys, writes)
    assert failures >= {"diffusers": 10, "space": 20, "onnx": 4, "torch": 4, "html": 2}[kind]
    assert (path if path.suffix else path / "README.md").is_file()


@pytest.mark.parametrize("source", ["folder", "state_dict"])
def test_a_full_disk_at_any_write_of_an_import_leaves_nothing(source, export, run, quick, tmp_path, capsys):
    place = tmp_path / "place"
    place.mkdir()
    given = ["import", str(tmp_path / "out")]
    assert export("diffusers", tmp_path / "out") == 0
    if source == "state_dict":
        from fromnoise.run import Run

        torch.save(Run(run).model().denoiser.net.state_dict(), tmp_path / "w.pt")
        given = ["import", "--state_dict", str(tmp_path / "w.pt"), "--recipe", "default", "--data", "digits"]
        given += ["--set", "net.width=8", "--set", "net.depth=1"]
    capsys.readouterr()
    command = lambda: main([*given, "--output_dir", str(place / "deep" / "run")])  # noqa: E731
    assert fails_at_every_write(place, command, capsys) >= 8
    assert (place / "deep/run/README.md").read_text().count("run") > 0 and main(
        ["sample", str(place / "deep/run")]
    ) == 0


@pytest.mark.parametrize("kind", NAMES)
def test_an_export_that_cannot_be_where_it_is_sent(kind, export, run, page_runtime, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert export(kind, tmp_path / "file" / NAMES[kind]) == 6
    path = tmp_path / NAMES[kind]
    if not path.suffix:
        path.write_text("mine")
        assert export(kind, path) == 2 and path.read_text() == "mine"
    else:
        path.mkdir()
        assert export(kind, path) == 6 and path.is_dir()
    assert str(path) in capsys.readouterr().err
    assert {one.name for one in tmp_path.iterdir()} == {"file", NAMES[kind]}


@pytest.mark.parametrize("place", [".", ".."])
def test_the_working_folder_is_not_replaced(place, export, quick, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert export("diffusers", place) == 2 and main(["import", "x", "--output_dir", place]) in (2, 4)
    assert f"'{place}'" in capsys.readouterr().err and [one.name for one in tmp_path.iterdir()] == ["here"]


def test_notes_of_somebody_else_beside_a_file_are_left_alone(export, quick, tmp_path, capsys):
    card = tmp_path / "model.onnx.md"
    card.write_text("# My own\n")
    assert export("onnx", tmp_path / "model.onnx") == 2
    assert card.name in capsys.readouterr().err and card.read_text() == "# My own\n"
    assert not (tmp_path / "model.onnx").exists()


def test_two_files_that_differ_in_their_ending_have_a_card_each(export, quick, tmp_path):
    assert export("onnx", tmp_path / "model.onnx") == export("torch", tmp_path / "model.pt2") == 0
    cards = {name: (tmp_path / f"{name}.md").read_text() for name in ("model.onnx", "model.pt2")}
    assert all(name in card for name, card in cards.items())


@pytest.mark.parametrize("kind", NAMES)
def test_a_place_that_may_only_be_read(kind, export, quick, tmp_path, capsys):
    with failing_write(tmp_path, 1, errno.EROFS):
        assert export(kind, tmp_path / "out" / NAMES[kind]) == 6
    assert "Read-only" in capsys.readouterr().err and not list(tmp_path.iterdir())


def broken(run, folder, change):
    """A copy of `run` in which every file of weights is changed, its manifest too."""
    import hashlib

    shutil.copytree(run, folder)
    for path in folder.rglob("*.safetensors"):
        tensors = safetensors.torch.load_file(path)
        change(tensors)
        safetensors.torch.save_file(tensors, path)
    for checkpoint in list_checkpoints(folder / "checkpoints"):
        listed = json.loads((checkpoint / "manifest.json").read_text())
        listed = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in listed}
        (checkpoint / "manifest.json").write_text(json.dumps(listed))
    return folder


def not_finite(tensors):
    if "leave.bias" in tensors:
        tensors["leave.bias"][0] = float("nan")


def of_another_network(tensors):
    if "leave.bias" in tensors:
        tensors["leave.bias"] = torch.zeros(7)


@pytest.mark.parametrize("change, word", [(not_finite, "not finite"), (of_another_network, "leave.bias")])
@pytest.mark.parametrize("kind", NAMES)
def test_weights_that_cannot_be_exported_are_named(kind, change, word, export, run, tmp_path, capsys):
    bad = broken(run, tmp_path / "bad", change)
    assert export(kind, tmp_path / "out" / NAMES[kind], of=bad) == 4
    said = capsys.readouterr().err.strip().splitlines()
    assert word in said[-1] and not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be killed so there")
def test_a_killed_export_leaves_what_was_there_and_the_next_one_clears_up(run, export, quick, tmp_path):
    path = tmp_path / "model"
    assert export("diffusers", path) == 0
    before = content(path)
    words = [sys.executable, "-m", "fromnoise", "export", str(run), "--to", "diffusers", str(path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob(".*/unet/*.safetensors"))) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert content(path) == before and len(list(tmp_path.iterdir())) == 2
    assert export("diffusers", path) == 0 and [one.name for one in tmp_path.iterdir()] == ["model"]


def test_a_staged_folder_of_a_living_process_is_left_alone(export, quick, tmp_path):
    other = tmp_path / leftovers.temporary_name()
    other.mkdir()
    assert export("diffusers", tmp_path / "model") == 0 and other.is_dir()
