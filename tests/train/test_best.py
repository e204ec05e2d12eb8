"""The best checkpoint: named after it is written, kept whatever its age, and nothing when it is gone."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fromnoise.common.errors import WriteError
from fromnoise.train import checkpoint
from fromnoise.train.checkpoint import Score, best_score, found, note_score


def scored(folder, values, keep=2, by="held-out loss"):
    """A checkpoint every 8 images with these scores; returns the names left after each."""
    net, left = nn.Linear(1, 1), []
    t = SimpleNamespace(
        net=net, optimizer=torch.optim.Adam(net.parameters()), ema=None, others={}, memory=None, total=99, skipped=0
    )
    for t.step, value in enumerate(values, start=1):
        t.images = 8 * t.step
        checkpoint.write(folder, t, seconds=0.0, keep=keep)
        note_score(folder, Score(t.images, by, value), keep)
        left.append([int(path.name) for path in found(folder)])
    return left


def test_the_lowest_score_is_the_best_and_stays(tmp_path):
    left = scored(tmp_path, [3.0, 1.0, 2.0, 2.5, 1.0, 0.5, 4.0, 4.0])
    assert left == [[8], [8, 16], [16, 24], [16, 24, 32], [16, 32, 40], [40, 48], [48, 56], [48, 56, 64]]
    assert best_score(tmp_path) == Score(48, "held-out loss", 0.5)
    assert json.loads((tmp_path / "best.json").read_text()) == {"images": 48, "by": "held-out loss", "value": 0.5}
    assert {path.name for path in tmp_path.iterdir()} == {"best.json", "00000048", "00000056", "00000064"}


def test_one_kept_is_the_newest_and_the_best(tmp_path):
    assert scored(tmp_path, [1.0, 2.0, 3.0, 0.5], keep=1) == [[8], [8, 16], [8, 24], [32]]


def test_a_best_one_that_is_gone_or_unreadable_is_none(tmp_path):
    assert best_score(tmp_path / "nowhere") is None
    scored(tmp_path, [1.0, 2.0])
    checkpoint._retire(found(tmp_path)[0])
    assert best_score(tmp_path) is None
    note_score(tmp_path, Score(16, "held-out loss", 9.0), 2)
    assert best_score(tmp_path) == Score(16, "held-out loss", 9.0), "the one that is gone is no rival"
    for text in ("", "[1]", '{"images": 16}', '{"images": 16, "by": "x", "value": 1, "more": 2}'):
        (tmp_path / "best.json").write_text(text)
        assert best_score(tmp_path) is None


def test_a_score_that_is_not_finite_is_none_and_other_measures_are_not_compared(tmp_path):
    scored(tmp_path, [math.nan, math.inf, 2.0, math.nan])
    assert best_score(tmp_path) == Score(24, "held-out loss", 2.0)
    note_score(tmp_path, Score(32, "kid", 5.0), 2)
    assert best_score(tmp_path) == Score(32, "kid", 5.0)


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    scored(tmp_path, [1.0])
    (tmp_path / "best.json").unlink()
    (tmp_path / "best.json").mkdir()
    (tmp_path / "best.json" / "x").touch()
    with pytest.raises(WriteError, match=r"best\.json"):
        note_score(tmp_path, Score(8, "held-out loss", 0.1), 2)
