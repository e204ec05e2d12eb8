"""The best checkpoint: recorded after it is written, kept whatever its age, and None when it is gone."""

import json
import math

import pytest

from fromnoise.common.errors import WriteError
from fromnoise.common.stored_json import verified
from fromnoise.train.best_checkpoint import Score, best_score, prune_checkpoints, record_score
from fromnoise.train.checkpoint_files import list_checkpoints, remove_checkpoint, write_checkpoint


def scored(folder, values, keep=2, by="validation loss"):
    """A checkpoint every 8 images with these scores; returns the names left after each."""
    left = []
    for images, value in enumerate(values, start=1):
        write_checkpoint(folder, 8 * images, {"state.json": b"{}"})
        prune_checkpoints(folder, keep)
        record_score(folder, Score(8 * images, by, value), keep)
        left.append([int(path.name) for path in list_checkpoints(folder)])
    return left


def test_the_lowest_score_is_the_best_and_stays(tmp_path):
    left = scored(tmp_path, [3.0, 1.0, 2.0, 2.5, 1.0, 0.5, 4.0, 4.0])
    assert left == [[8], [8, 16], [16, 24], [16, 24, 32], [16, 32, 40], [40, 48], [48, 56], [48, 56, 64]]
    assert best_score(tmp_path) == Score(48, "validation loss", 0.5)
    written = json.loads((tmp_path / "best.json").read_text())
    assert verified(written) == {"images": 48, "by": "validation loss", "value": 0.5} != written
    assert {path.name for path in tmp_path.iterdir()} == {"best.json", "00000048", "00000056", "00000064"}


def test_one_kept_is_the_newest_and_the_best(tmp_path):
    assert scored(tmp_path, [1.0, 2.0, 3.0, 0.5], keep=1) == [[8], [8, 16], [8, 24], [32]]


def test_a_best_one_that_is_gone_or_unreadable_is_none(tmp_path):
    assert best_score(tmp_path / "nowhere") is None
    scored(tmp_path, [1.0, 2.0])
    remove_checkpoint(list_checkpoints(tmp_path)[0])
    assert best_score(tmp_path) is None
    record_score(tmp_path, Score(16, "validation loss", 9.0), 2)
    assert best_score(tmp_path) == Score(16, "validation loss", 9.0), "the one that is gone is no rival"
    for text in ("", "[1]", '{"images": 16}', '{"images": 16, "by": "x", "value": 1, "more": 2}'):
        (tmp_path / "best.json").write_text(text)
        assert best_score(tmp_path) is None


def test_a_score_that_is_not_finite_is_none_and_other_measures_are_not_compared(tmp_path):
    scored(tmp_path, [math.nan, math.inf, 2.0, math.nan])
    assert best_score(tmp_path) == Score(24, "validation loss", 2.0)
    record_score(tmp_path, Score(32, "kid", 5.0), 2)
    assert best_score(tmp_path) == Score(32, "kid", 5.0)


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    scored(tmp_path, [1.0])
    (tmp_path / "best.json").unlink()
    (tmp_path / "best.json").mkdir()
    (tmp_path / "best.json" / "x").touch()
    with pytest.raises(WriteError, match=r"best\.json"):
        record_score(tmp_path, Score(8, "validation loss", 0.1), 2)


def test_the_best_of_a_run_made_before_is_still_compared(tmp_path):
    """Its best.json has the measure's former name."""
    scored(tmp_path, [1.0])
    (tmp_path / "best.json").write_text('{"images": 8, "by": "held-out loss", "value": 1.0}')
    record_score(tmp_path, Score(8, "validation loss", 2.0), 2)
    assert best_score(tmp_path) == Score(8, "validation loss", 1.0)


SCORES = [("8", '"x"', 1), (8, 3, 1), *((8, '"x"', value) for value in ("NaN", '"x"', "null"))]
SCORES = [f'{{"images": {images}, "by": {by}, "value": {value}}}' for images, by, value in SCORES]


@pytest.mark.parametrize("text", ["null", "[]", "1", "[" * 99_999, *SCORES[1:], SCORES[0].replace("8", '"8"')])
def test_a_hostile_one_is_said_and_no_checkpoint_is_the_best(tmp_path, text, capsys):
    scored(tmp_path, [1.0, 2.0, 3.0])
    (tmp_path / "best.json").write_text(text)
    assert best_score(tmp_path) is None and "best.json" in capsys.readouterr().err


def test_no_changed_bit_makes_another_one_the_best(tmp_path):
    scored(tmp_path, [1.0, 2.0, 3.0])
    whole = (tmp_path / "best.json").read_bytes()
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        (tmp_path / "best.json").write_bytes(content)
        assert best_score(tmp_path) in (None, Score(8, "validation loss", 1.0))
