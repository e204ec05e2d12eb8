"""Durations as people write them, and the age of this process."""

import re
import time
from pathlib import Path

import pytest

from fromnoise.common import durations as clock
from fromnoise.common.durations import format_duration, parse_duration, process_start
from fromnoise.common.errors import UsageError


def test_durations():
    assert [parse_duration(text) for text in ("90s", "3m", "1.5h", "45", ".5 m")] == [90, 180, 5400, 45, 30]
    assert [format_duration(s) for s in (8.4, 125, 3840)] == ["8 s", "2 min 05 s", "1 h 04 min"]


@pytest.mark.parametrize("text", ["", "3x", "-5s", "0s", "m", "1:30", "nan"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match=re.escape(f"'{text}'")):
        parse_duration(text)


def test_the_process_began_before_now_and_not_long_ago():
    assert 0 < time.monotonic() - process_start() < 3600


def test_what_the_process_was_before_does_not_count(monkeypatch):
    """A shell that ends in this command becomes it: Linux then tells when the shell began."""
    monkeypatch.setattr(clock, "_IMPORTED_AT", process_start() + 600)
    assert process_start() == clock._IMPORTED_AT


def test_a_container_whose_uptime_is_its_own_does_not_begin_in_the_future(monkeypatch):
    """LXC: a time budget would last as many days longer as the host was up before the container."""
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: "60.00 0.00" if path.name == "uptime" else read(path))
    monkeypatch.setattr(clock, "_IMPORTED_AT", time.monotonic())
    assert process_start() == clock._IMPORTED_AT
