"""config.json as it is read: a damaged or hostile one is one sentence that names the file, with exit code 4."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path

import pytest

from fromnoise.cli import main
from fromnoise.common.errors import CheckpointError
from fromnoise.common.stored_json import CHECKSUM, verified
from fromnoise.run import Run
from fromnoise.run.folder import RunFolder
from fromnoise.run.migrate import FORMAT
from fromnoise.run.record import read_record

DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "format": [None, [], "3", 0, -1, 1.5, True, 10**30],
    "settings": [None, [], "x", 3, {"net": None}, {"net": []}, {"nets": {}}],
    "settings.recipe": [None, [], {}, 3],
    "settings.net.kind": [None, [], "os.system", {}],
    "settings.net.width": [None, "x", 10**30, 10**6, -1, 1.5, float("nan"), [8]],
    "settings.net.channels": [None, [None], ["x"], [0], [10**9], [True], {}],
    "settings.net.celter_crop": [True],
    "settings.process.steps": [10**12, "x"],
    "settings.process.beta_end": [float("inf"), 1e999, "x", None],
    "settings.data.source": [None, [], 3],
    "settings.sample.guidance_interval": [["a", "b"], [None], [float("nan"), 1.0], "x", {}],
    "settings.train.checkpoint_every": [None, [], "x", "", "-1s", 3],
    "settings.train.seed": [None, -1, 2**64, "x"],
    "spec": [None, [], "x", {}],
    "spec.channels": [None, "x", 0, -1, 10**6, 1.5, True],
    "spec.height": [None, "8", 0, 10**6, 10**30, [], float("nan")],
    "spec.width": [None, 0, 10**9],
    "spec.classes": [None, "abc", [None], [3], {}, 3],
    "spec.low": [None, "x", float("inf"), 1.0, 5],
    "spec.more": [1],
    "sigma_data": [None, "x", 0, -1, float("nan"), float("inf"), [], True],
    "data": [None, [], "x", {}],
    "data.label_counts": [None, [], ["x"], [-1], [1.5], {}, [10**30] * 10, [0] * 10, [1]],
    "data.count": [None, 0, -5, "x", [], 10**30],
    "data.fingerprint": [None, 3, []],
    "data.name": [None, [], 3],
    "data.about": [None, {}],
    "data.notes": [None, "x", [None], [[]], {}],
    "context": [None, [], "x", {"more": 1}],
    "context.device": [None, 3, []],
    "context.seconds": ["x", -1, float("inf"), []],
    "context.planned": ["x", -1, 1.5],
    "context.bf16": [None, "yes", 1],
    "versions": [None, [], "x", {"torch": None}, {"torch": ["2"]}],
    "parameters": ["x", -1, [], 1.5],
}
FULLY_OPTIONAL = {("data.label_counts", "[]")}  # a model without counts draws its classes evenly


def changed(record, name, value):
    record = copy.deepcopy(record)
    *path, last = name.split(".")
    inside = record
    for part in path:
        inside = inside[part]
    inside[last] = value
    return record


@pytest.fixture(scope="module")
def record(tiny_run):
    return json.loads((tiny_run.path / "config.json").read_text())


@pytest.fixture
def place(tmp_path):
    return tmp_path / "config.json"


def refused(place):
    with pytest.raises(CheckpointError) as caught:
        read_record(place)
    said = str(caught.value)
    assert caught.value.exit_code == 4 and "\n" not in said and str(place.parent) in said and len(said) < 400
    return said


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "changed"])
def test_every_hostile_value_is_refused(record, place, name, signed):
    for value in HOSTILE[name]:
        content = changed(record, name, value)
        if not signed:
            del content[CHECKSUM]
        place.write_text(json.dumps(content))
        if not signed and (name, str(value)) in FULLY_OPTIONAL:
            read_record(place)
        else:
            refused(place)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "1", '"x"', "{}", DEEP, '{"a":' * 99_999, '{"format": 3}', "\ufeff{}", "1" * 9999]
)
def test_another_shape_is_refused(place, text):
    place.write_text(text)
    refused(place)


def test_every_changed_bit_and_every_cut_is_noticed(tiny_run, place):
    whole, chance = (tiny_run.path / "config.json").read_bytes(), random.Random(0)
    place.write_bytes(whole)
    right = read_record(place)
    for _ in range(300):
        bit = chance.randrange(8 * len(whole))
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        place.write_bytes(content)
        try:
            found = read_record(place)
        except CheckpointError:
            continue
        # White space between the values, or the name of the checksum itself: what is read is still right.
        assert {key: found[key] for key in right} == right
    for _ in range(100):
        place.write_bytes(whole[: chance.randrange(len(whole) - 1)])
        refused(place)


def test_a_damaged_one_is_exit_code_4_through_every_verb_that_reads_it(tiny_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(tiny_run.path, run)
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace("center_crop", "celter_crop"))
    verbs = [["sample", run], ["show", run], ["diagnose", run], ["evaluate", run], ["edit", "interpolate", run]]
    for arguments in (*verbs, ["train", "digits", "--output_dir", run], ["compare", run, tiny_run.path]):
        assert main([str(argument) for argument in arguments]) in ((4,) if arguments[0] != "edit" else (2, 4))
        said = capsys.readouterr().err
        assert "Traceback" not in said and (arguments[0] == "edit" or "config.json" in said)


def test_devices_are_not_read(place):
    place.symlink_to("/dev/zero")
    refused(place)
    place.unlink()
    place.mkdir()
    refused(place)


def test_what_is_written_has_a_checksum_that_fits(record):
    assert record["format"] == FORMAT and CHECKSUM in record and CHECKSUM not in verified(record)


def test_one_without_it_is_taken_as_it_is(tiny_run, record, tmp_path):
    shutil.copytree(tiny_run.path, tmp_path / "run")
    content = changed(record, "settings.sample.steps", 2)
    del content[CHECKSUM]
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    assert Run(tmp_path / "run").settings.sample.steps == 2


def test_results_of_verbs_are_checked_too(tiny_run, tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_json(folder.evaluation) is None
    from fromnoise.common.stored_json import write_stored

    content = {"value": 0.123456789, "none": None, "names": {1: "one"}, "list": [float("inf")]}
    write_stored(folder.evaluation, content)
    whole = folder.evaluation.read_bytes()
    assert folder.read_json(folder.evaluation) == {**content, "names": {"1": "one"}}
    for damage in (whole.replace(b"0.1234", b"0.1235"), whole[:-2], b"", b"[]", b"\xff"):
        folder.evaluation.write_bytes(damage)
        with pytest.raises(CheckpointError, match=r"evaluation\.json"):
            folder.read_json(folder.evaluation)


def test_a_run_that_kept_one_checkpoint_keeps_two(tiny_run, record, tmp_path):
    content = changed({**record, "format": 2}, "settings.train.checkpoints_kept", 1)
    del content[CHECKSUM]
    Path(tmp_path / "config.json").write_text(json.dumps(content))
    assert Run(tmp_path).settings.train.checkpoints_kept == 2
