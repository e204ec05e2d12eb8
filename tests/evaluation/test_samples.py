"""Samples that are drawn to be measured."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest

from fromnoise.evaluation.samples import draw_samples
from fromnoise.run import Run


def test_milliseconds_are_not_rounded_to_none(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=count(0, 0.001234).__next__)  # read at the start, after a batch, at the end
    monkeypatch.setattr("fromnoise.evaluation.samples.time", clock)
    assert draw_samples(tiny_run.model(), 4).sampling["seconds"] == 0.002468
