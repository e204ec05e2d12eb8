"""300 damaged files for every reader: they are read, or refused with an error of ours, and nothing hangs.

A file follows from the reader's name and its number: `python scripts/fuzz.py READER --only NUMBER` shows what failed.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "results" / "fuzz.md"


def script(name):
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / "scripts" / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


CHECKED = {"checkpoint", "averages"}  # their checksums are not set right again
mutate, fuzz_readers, fuzz = script("mutate"), script("fuzz_readers"), script("fuzz")


@pytest.fixture(autouse=True)
def no_data_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)


@pytest.mark.parametrize("name", fuzz_readers.READERS)
def test_damage_is_read_or_refused(name, tmp_path):
    reader = fuzz_readers.READERS[name]
    found = fuzz.fuzzed(reader, range(300), tmp_path)
    assert not found.tracebacks, f"{found.tracebacks}, first at {found.first}"
    assert found.refused or not reader.refuses, "no damage was noticed at all"
    if name in CHECKED:
        assert not found.read, "every damage is to be noticed"


def test_an_error_that_is_not_ours_and_a_hang_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "LONGEST", 0.2)
    whole = b"whole " * 20

    def read(folder):
        content = (folder / "file").read_bytes()
        if content != whole:
            (lambda: 1 / 0)() if len(content) < len(whole) else hang()

    def hang():
        while True:
            try:
                while True:
                    pass
            except Exception:
                pass

    reader = fuzz_readers.Reader("own", lambda folder: [fuzz_readers.Sample(folder / "file", whole)], read)
    (tmp_path / "file").write_bytes(whole)
    found = fuzz.fuzzed(reader, range(12), tmp_path)
    assert {error.partition(" in ")[0] for error in found.tracebacks} == {"ZeroDivisionError", "Hang"}


def test_damage_follows_from_its_name_and_differs_from_the_whole():
    for whole in (b'{"a": [1, 2], "b": null}', bytes(range(256)), b"[net]\nwidth = 3\n", b'{"a": 1}\n{"a": 2}\n', b""):
        some = [mutate.damaged(whole, str(number)) for number in range(50)]
        assert some == [mutate.damaged(whole, str(number)) for number in range(50)]
        assert len(set(some)) > 10 and sum(content != whole for content in some) > 25


def test_the_page_holds_what_was_measured():
    kept = [fuzz.Tally(**one) for one in json.loads(PAGE.with_suffix(".json").read_text())]
    assert fuzz.table(kept) in PAGE.read_text()
    assert {one.reader for one in kept} == set(fuzz_readers.READERS)
    assert all(one.tried >= 2000 // fuzz_readers.READERS[one.reader].one_in and not one.tracebacks for one in kept)
