"""What a killed process left is swept: only what bears our names, and only when its process has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fromnoise.common.files import replacing
from fromnoise.common.leftovers import sweep, temporary_name


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    return int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout)


def put(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    return path


@pytest.mark.skipif(os.name == "nt", reason="processes are not asked there")
def test_files_of_ended_processes_go_and_all_others_stay(tmp_path: Path, ended: int) -> None:
    own, machine = temporary_name(), temporary_name()[-10:-4]
    former = ["config.json", "config.toml", "metrics.jsonl", "best", "rows-0123456789abcdef.npz"]
    gone = [put(tmp_path, f".0123456789ab-{ended}-{machine}.tmp")]
    gone += [put(tmp_path, f".{name}.{ended}") for name in former]
    kept = [put(tmp_path, own), put(tmp_path, ".0123456789ab.tmp"), put(tmp_path, ".0123456789ab.tmp.mine")]
    kept += [put(tmp_path, f".notes.{ended}"), put(tmp_path, f".0123456789ab-{ended}-ffffff.tmp")]
    kept += [put(tmp_path, "0123456789ab.tmp"), put(tmp_path, f".config.json.{os.getpid()}")]
    folder = tmp_path / f".best.json.{ended}"
    folder.mkdir()
    (tmp_path / "below").mkdir()
    kept += [folder, put(tmp_path / "below", f".best.{ended}"), put(tmp_path, "metrics.jsonl")]
    sweep(tmp_path)
    assert [path for path in gone if path.is_file()] == [] and all(path.exists() for path in kept)
    sweep(tmp_path / "nowhere")
    sweep(tmp_path, alone=True)
    assert {path.name for path in kept if path.exists()} == {
        *(".0123456789ab.tmp.mine", f".notes.{ended}", "0123456789ab.tmp", "metrics.jsonl"),
        *(folder.name, f".best.{ended}"),
    }


def test_what_is_being_written_bears_such_a_name(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        sweep(tmp_path)
        assert temporary.exists() and len(temporary.name) < 48
