"""The run folder's files: what was asked for comes back from config.toml as it was."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fromnoise.common.errors import BusyError, WriteError
from fromnoise.run.folder import RunFolder, to_toml

text = st.text(st.characters(exclude_categories=["Cs"]))
value = st.one_of(text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
table = st.dictionaries(name, value | st.lists(value, max_size=3), max_size=3)


@given(st.dictionaries(name, value | table, max_size=4))
def test_toml_reads_back_as_what_was_written(asked: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(asked)) == asked


def test_what_toml_cannot_hold_is_not_written() -> None:
    with pytest.raises(TypeError, match="None"):
        to_toml({"train": {"budget": None}})


HOLD = """
import sys
from pathlib import Path
from fromnoise.run.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_works_in_a_folder_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as caught, folder.locked():
            pass
        assert str(tmp_path) in str(caught.value) and caught.value.exit_code == 7
        with folder.locked("evaluate"):
            pass
        holder.kill()
    with folder.locked(), pytest.raises(BusyError), folder.locked():
        pass


def test_a_folder_that_cannot_be_written_in_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError), RunFolder(tmp_path / "file").locked():
        pass


def test_a_run_whose_beginning_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fromnoise.run.folder.write_stored", stop)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path / "a" / "run").create({"recipe": "default"}, {}, initial=b"weights")
    assert not list(tmp_path.iterdir())
