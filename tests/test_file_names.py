"""Names that we make are files on every system: Windows' reserved and forbidden ones, folders that ignore case."""

from __future__ import annotations

import argparse
import re

import pytest

from fromnoise.cli import edit, sample
from fromnoise.common.files import write_bytes
from fromnoise.common.leftovers import temporary_name
from fromnoise.common.text import file_part
from fromnoise.recipes.resolve import default_folder

RESERVED = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\..*)?", re.IGNORECASE)
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
NAMES = [
    "con",
    "NUL",
    "aux.txt",
    "a:b",
    "what?",
    'a"b',
    "a\\b",
    "a/b",
    "x|y",
    "<b>",
    "tab\t",
    "end.",
    "end ",
    "$(touch x)",
]


def fits(name):
    return not RESERVED.fullmatch(name) and not FORBIDDEN.search(name) and name[-1] not in ". " and len(name) < 200


@pytest.mark.parametrize("name", [*NAMES, "é" * 300, "数" * 90, ""])
def test_class_and_image_names_in_outputs_are_names_everywhere(name):
    assert fits(sample._name([0, 5], name, None))
    painted = {"mask": f"{name}.png", "resample": 2}
    for action, more in (("invert", {}), ("img2img", {"strength": 0.5}), ("inpaint", painted)):
        more |= {"condition": [f"{name}=1", "slant=0.3"]}
        arguments = argparse.Namespace(action=action, image=f"{name}.png", label=name, seeds=None, **more)
        assert fits(edit._name(arguments, [0, 1]))
    assert len(file_part(name)) <= 60


@pytest.mark.parametrize("name", [name for name in NAMES if not re.search(r"[/\\]", name)])
def test_run_folders_are_names_everywhere(name):
    assert fits(default_folder(f"data/{name}", "default", 0).name)


def test_what_a_run_folder_holds_differs_by_more_than_case():
    names = ["config.toml", "config.json", "metrics.jsonl", "checkpoints", "averages", "samples", "edits", "figures"]
    names += ["report.html", "evaluation.json", "diagnosis.json", "sweep.json", "run.lock", "bad_batch.json"]
    assert len({name.casefold() for name in names}) == len(names) and all(map(fits, names)) and fits(temporary_name())


def test_a_file_is_replaced_while_somebody_reads_it(tmp_path):
    path = write_bytes(tmp_path / "file", b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old"  # on Windows this is refused as a whole instead, and the old one stays
    assert path.read_bytes() == b"new"
