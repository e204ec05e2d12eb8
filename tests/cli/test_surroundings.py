"""A working folder that is gone, and a user without a home: sentences, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from fromnoise.cli import VERBS, main
from fromnoise.common.errors import WriteError
from fromnoise.common.files import check_writable
from fromnoise.data import cache_dir

ARGUMENTS = {
    "train": ["digits"],
    "sample": ["run"],
    "edit": ["run", "interpolate", "--seeds", "1,2"],
    "show": ["run"],
    "diagnose": ["run"],
    "distill": ["run"],
    "evaluate": ["run"],
    "compare": ["run", "run"],
    "export": ["run", "--to", "diffusers", "there"],
    "import": ["there"],
    "pack": ["run"],
    "unpack": ["there"],
    "data": ["inspect", "digits"],
}


@pytest.fixture
def gone(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_that_the_working_folder_is_gone(gone, capsys, verb):
    assert main([verb, *ARGUMENTS.get(verb, [])]) == 2
    said = capsys.readouterr()
    assert "working folder is gone" in said.err and len(said.err.splitlines()) == 1
    assert ("FAIL disk" in said.out and "ok   torch" in said.out) == (verb == "doctor")


def test_the_doctor_of_a_fresh_process_looks_at_everything_else():
    shell = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m fromnoise doctor"
    done = subprocess.run(["bash", "-c", f"cd $(mktemp -d) && {shell}"], capture_output=True, text=True, timeout=90)
    assert done.returncode == 2 and "ok   device" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("named", ["", "~no-such-user/cache"])
def test_without_a_home_nothing_is_kept_and_nothing_breaks(monkeypatch, capsys, named):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "FROMNOISE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FROMNOISE_CACHE", named)
    monkeypatch.setattr(Path, "home", homeless)
    assert main(["data", "list"]) == 0
    if not named:
        with pytest.raises(WriteError):
            check_writable(cache_dir() / "file")
