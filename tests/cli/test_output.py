"""Standard output and standard error that cannot be written: no traceback, and what was made is kept."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import UsageError
from fromnoise.common.text import quoted, visible

TINY = ["--set", "net.width=8", "--set", "net.depth=1", "--num_images", "128", "--previews", "0", "--no_posthoc_ema"]
FEW = ["--steps", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("output") / "run"
    assert main(["train", "digits", *TINY, "--output_dir", str(path)]) == 0
    return str(path)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def broken_pipe():
    read, write = os.pipe()
    os.close(read)
    return open(write, "w", encoding="utf-8")


def closed():
    with open(os.devnull, "w", encoding="utf-8") as stream:
        return stream


PLACES = {
    "full": lambda: io.TextIOWrapper(io.BufferedWriter(io.FileIO("/dev/full", "w")), "utf-8"),
    "a pipe without a reader": broken_pipe,
    "closed": closed,
    "none": lambda: None,
    "ascii": lambda: io.TextIOWrapper(io.BytesIO(), "ascii"),
}
VERBS = {
    "train": (["train", "digits", *TINY, "--output_dir", "own"], "own/checkpoints/00000128/manifest.json"),
    "sample": (["sample", "RUN", "--num", "2", *FEW, "--out", "s.png"], "s.png"),
    "show": (["show", "RUN", "--trajectory", "--seeds", "1", *FEW], None),
    "compare": (["compare", "RUN", "RUN"], "compare.html"),
    "edit": (["edit", "RUN", "interpolate", "--seeds", "1,2", *FEW, "--out", "e.png"], "e.png"),
    "evaluate": (["evaluate", "RUN", "--num", "10", "--features", "pixels", *FEW], None),
    "data list": (["data", "list"], None),
    "data inspect": (["data", "inspect", "digits", "--out", "d.png"], "d.png"),
    "doctor": (["doctor", "--json"], None),
    "sample --list": (["sample", "--list"], None),
    "help": (["--help"], None),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", VERBS)
def test_output_that_cannot_be_written_loses_no_work(run, monkeypatch, capsys, tmp_path, verb, place):
    words, made = VERBS[verb]
    stream = PLACES[place]()
    monkeypatch.setattr(sys, "stdout", stream)
    code = main([run if word == "RUN" else word for word in words])
    said = capsys.readouterr().err
    if place in ("full", "closed"):
        assert code == 6 and said.splitlines()[-1].startswith("fromnoise: ")
    else:
        assert code == 0, said
    assert made is None or (tmp_path / made).exists()
    if stream and not stream.closed:
        stream.close()  # as the interpreter does when it ends


@pytest.mark.parametrize("place", PLACES)
def test_an_error_that_cannot_be_said_keeps_its_exit_code(monkeypatch, capsys, place):
    monkeypatch.setattr(sys, "stderr", PLACES[place]())
    assert main(["sample", "nowhere"]) == 4
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out), "nothing of standard error got into it"


@pytest.mark.parametrize("redirected, code", [("> /dev/full", 6), (">&-", 0), ("2>&-", 0), ("2>/dev/full", 0)])
def test_a_real_command_leaves_nothing_to_complain_about(redirected, code):
    shell = f"{sys.executable} -m fromnoise data list --json {redirected}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.returncode == code and "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert not done.stdout or json.loads(done.stdout)


def test_every_character_that_is_printed_shows(monkeypatch):
    hostile = "a\x1b[31m\u202eb\x9b\r\u2066\ud800\udcff"
    shown = visible(hostile)
    assert shown.isprintable() and shown.startswith("a\\x1b[31m\\u202eb") and shown.endswith("\\xff")
    assert visible("lines\nand\ttabs, \u3000, é, 数") == "lines\nand\ttabs, \u3000, é, 数"
    assert "\x1b" not in str(UsageError(hostile)) and "\n" not in str(UsageError("one\nsentence"))


@pytest.mark.parametrize("name", ["plain", "a b", "it's", '"', "$(x)", "-rf", "--num", "`x`", "a\\b", "é"])
def test_words_of_commands_come_back_from_a_shell(name, tmp_path):
    echoed = subprocess.run(["sh", "-c", f"printf %s {quoted(Path(name))}"], capture_output=True, text=True, timeout=60)
    assert Path(echoed.stdout) == Path(name) and not echoed.stdout.startswith("-")
