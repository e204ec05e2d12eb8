"""chapter.py as cells: read, filled with values, and translated.

The script is in jupytext's percent format, of which it uses three lines: `# %% [markdown]`, `# %%` and
`# %% tags=["parameters"]`. Reading those takes thirty lines here, so `fromnoise chapter` needs neither jupytext nor a
notebook kernel, and Ctrl-C, tracebacks and printed lines are those of an ordinary program.
Format: https://jupytext.readthedocs.io/en/latest/formats-scripts.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from fromnoise.common.errors import UsageError, choose

SCRIPT = "chapter.py"
TRANSLATIONS = {"zh": "chapter.zh-CN.md"}
_MARKER = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?P<parameters> tags=\[\"parameters\"\])?$")
_ASSIGNMENT = re.compile(r"^(?P<name>[A-Z][A-Z0-9_]*) = (?P<value>.+?)(?P<comment>  # .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """kind: "markdown", "code" or "parameters". source: Markdown, or Python."""

    kind: str
    source: str


def read_cells(lang: str = "en") -> list[Cell]:
    """The chapter's cells in English, or in a language of TRANSLATIONS; UsageError for another."""
    cells = parse(_text(SCRIPT))
    return cells if lang == "en" else translated(cells, _text(choose("language", lang, TRANSLATIONS)))


def parse(script: str) -> list[Cell]:
    """The cells of a percent-format script; lines above the first marker belong to none."""
    lines = script.splitlines()
    starts = [(i, match) for i, line in enumerate(lines) if (match := _MARKER.match(line))]
    ends = [i for i, _ in starts[1:]] + [len(lines)]
    return [_cell(match, lines[i + 1 : end]) for (i, match), end in zip(starts, ends, strict=True)]


def _cell(match: re.Match[str], lines: Sequence[str]) -> Cell:
    if match["markdown"]:
        lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
    kind = "markdown" if match["markdown"] else "parameters" if match["parameters"] else "code"
    return Cell(kind, "\n".join(lines).strip("\n"))


def filled(cells: Sequence[Cell], values: Mapping[str, Any]) -> list[Cell]:
    """The cells with `values` in place of the parameters' own; UsageError for a name that the script lacks."""
    unused = set(values)

    def assigned(match: re.Match[str]) -> str:
        name = match["name"]
        unused.discard(name)
        return f"{name} = {values[name]!r}{match['comment'] or ''}" if name in values else match[0]

    changed = [
        replace(cell, source=_ASSIGNMENT.sub(assigned, cell.source)) if cell.kind == "parameters" else cell
        for cell in cells
    ]
    if unused:
        raise UsageError(f"the chapter has no parameter {', '.join(sorted(unused))}; see the second cell of {SCRIPT}")
    return changed


def translated(cells: Sequence[Cell], translation: str) -> list[Cell]:
    """The cells with the prose of `translation`, and the phrases of its table replaced in their code.

    translation: Markdown cells in order with a line `---` between them, and behind the last a table with a row
    `| English | phrase |` for each phrase of a caption, label or comment. Raises ValueError where it does not fit.
    """
    *prose, table = re.split(r"^---$", translation, flags=re.MULTILINE)
    phrases = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)[1:])
    code = "\n".join(cell.source for cell in cells if cell.kind != "markdown")
    missing = [phrase for phrase in phrases if phrase not in code]
    if missing or len(prose) != sum(cell.kind == "markdown" for cell in cells):
        raise ValueError(f"the translation has {len(prose)} cells, and phrases that {SCRIPT} lacks: {missing}")
    pattern = re.compile("|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True)))
    texts = iter(prose)
    return [
        replace(cell, source=next(texts).strip())
        if cell.kind == "markdown"
        else replace(cell, source=pattern.sub(lambda match: phrases[match[0]], cell.source))
        for cell in cells
    ]


def _text(name: str) -> str:
    return resources.files("fromnoise.chapter").joinpath(name).read_text(encoding="utf-8")
