"""The run folder's files: what was asked for comes back from config.toml as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fromnoise.run.folder import to_toml

text = st.text(st.characters(exclude_categories=["Cs"]))
value = st.one_of(text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
table = st.dictionaries(name, value | st.lists(value, max_size=3), max_size=3)


@given(st.dictionaries(name, value | table, max_size=4))
def test_toml_reads_back_as_what_was_written(asked: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(asked)) == asked


def test_what_toml_cannot_hold_is_not_written() -> None:
    with pytest.raises(TypeError, match="None"):
        to_toml({"train": {"budget": None}})
