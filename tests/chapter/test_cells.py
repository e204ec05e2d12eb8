"""The script as cells: read, filled, translated."""

from __future__ import annotations

import ast
import re

import pytest

from fromnoise.chapter import WHOLE
from fromnoise.chapter.cells import TRANSLATIONS, Cell, filled, parse, read_cells, translated
from fromnoise.common.errors import UsageError

SCRIPT = """# a line above

# %% [markdown]
# # Title
#
# Two *words*.

# %% tags=["parameters"]
COUNT = 3  # of them
NAME = "x"

# %%
print("a word", COUNT)  # a comment


def f(): ...
"""
TABLE = "| English | Deutsch |\n|---|---|\n| a word | ein Wort |\n"
CELLS = [
    Cell("markdown", "# Title\n\nTwo *words*."),
    Cell("parameters", 'COUNT = 3  # of them\nNAME = "x"'),
    Cell("code", 'print("a word", COUNT)  # a comment\n\n\ndef f(): ...'),
]


def test_a_script_is_read_as_cells():
    assert parse(SCRIPT) == CELLS


def test_values_replace_those_of_the_parameters_alone():
    changed = filled(CELLS, {"COUNT": (1, 2), "NAME": "it's"})
    assert changed[1].source == 'COUNT = (1, 2)  # of them\nNAME = "it\'s"'
    assert [changed[0], changed[2]] == [CELLS[0], CELLS[2]]


def test_a_value_without_a_parameter_is_refused():
    with pytest.raises(UsageError, match="OTHER"):
        filled(CELLS, {"COUNT": 1, "OTHER": 2})


def test_a_translation_replaces_prose_and_phrases():
    changed = translated(CELLS, f"# Titel\n\nZwei Wörter.\n---\n{TABLE}| a comment | eine Bemerkung |\n")
    assert changed[0].source == "# Titel\n\nZwei Wörter." and changed[1] == CELLS[1]
    assert changed[2].source.startswith('print("ein Wort", COUNT)  # eine Bemerkung\n')


@pytest.mark.parametrize("text", [f"one\n---\ntwo\n---\n{TABLE}", f"one\n---\n{TABLE}| nowhere | nirgends |\n"])
def test_a_translation_that_does_not_fit_is_refused(text):
    with pytest.raises(ValueError, match="translation"):
        translated(CELLS, text)


def test_an_unknown_language_is_refused():
    with pytest.raises(UsageError, match="zz"):
        read_cells("zz")


def test_the_chapter_alternates_prose_and_python():
    cells = read_cells()
    assert cells[0].kind == "markdown" and [cell.kind for cell in cells].count("parameters") == 1
    for cell in cells:
        if cell.kind != "markdown":
            ast.parse(cell.source)
    assert filled(cells, WHOLE) != cells


def plain(source: str) -> str:
    """The code without what stands in quotes, and without comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        if isinstance(node, ast.JoinedStr):
            node.values = [value for value in node.values if isinstance(value, ast.FormattedValue)]
    return ast.dump(tree)


@pytest.mark.parametrize("lang", TRANSLATIONS)
def test_a_translation_runs_the_same_code(lang):
    cells, other = read_cells(), read_cells(lang)
    assert [cell.kind for cell in cells] == [cell.kind for cell in other]
    for cell, changed in zip(cells, other, strict=True):
        if cell.kind == "markdown":
            assert cell.source != changed.source
            assert re.match("#*", cell.source)[0] == re.match("#*", changed.source)[0]
        else:
            assert plain(cell.source) == plain(changed.source)
