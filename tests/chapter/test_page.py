"""Cells that run: what they print and draw comes out in order, errors point at their line, signals stop them."""

from __future__ import annotations

import os
import signal
import traceback

import pytest

from fromnoise.chapter.cells import Cell
from fromnoise.chapter.page import heading, run_cells, write_chapter
from fromnoise.common.errors import Interrupted

DRAWS = """
from fromnoise.chapter.record import ChapterRecord
record = ChapterRecord(FOLDER, "digits", 1500, quick=True, seed=0)
print("before")
record.table([("a", "b"), (1, 2)], "a table")
print("after")
"""


def test_cells_share_names_and_their_output_stays_in_order(tmp_path, capsys):
    cells = [Cell("markdown", "# A title\n\nText."), Cell("code", DRAWS), Cell("code", "print(record.folder.name)")]
    sections = run_cells(cells, {"FOLDER": tmp_path / "out"})
    kinds = [(s.title, s.code, s.output, s.caption) for s in sections]
    assert kinds == [
        ("A title", None, None, ""),
        ("", DRAWS, None, ""),
        ("", None, "before\n", ""),
        ("", None, None, "a table"),
        ("", None, "after\n", ""),
        ("", "print(record.folder.name)", None, ""),
        ("", None, "out\n", ""),
    ]
    assert sections[3].table == [("a", "b"), (1, 2)]
    assert capsys.readouterr().out == "A title\nbefore\nafter\nout\n"


def test_the_first_cell_becomes_title_and_lead(tmp_path):
    sections = run_cells(
        [Cell("markdown", "# A title\n\nSome [words](https://example.org/a)."), Cell("code", "1 < 2")], {}
    )
    page = write_chapter(tmp_path / "page.html", sections, "zh").read_text(encoding="utf-8")
    assert "<h1>A title</h1>" in page and '<a href="https://example.org/a">words</a>' in page
    assert '<html lang="zh-CN">' in page and "<code>1 &lt; 2</code>" in page


def test_a_heading_is_told_from_its_text():
    assert heading("## 3.1 Data\n\nText") == ("3.1 Data", "\nText")
    assert heading("Only text") == ("", "Only text")


def test_an_error_points_at_the_line_of_its_cell():
    with pytest.raises(ZeroDivisionError) as error:
        run_cells([Cell("code", "x = 0\ny = 1 / x  # here")], {})
    assert "y = 1 / x  # here" in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_a_cell(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stop:
        run_cells([Cell("code", "import os, time\nos.kill(os.getpid(), NUMBER)\ntime.sleep(60)")], {"NUMBER": number})
    assert stop.value.exit_code == code and signal.getsignal(number) == before and os.getpid()
