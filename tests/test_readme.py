"""README keeps its word: its bash and Python blocks run, one after the other, in one empty folder.

A comment on the line before a block directs it: `<!-- test: slow -->` for one that trains (it then runs with
`make test-slow`), `<!-- test: skip because ... -->` for one that cannot run here. A block may use what an earlier
one of the same speed left in the folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
README, CHINESE = CHECKOUT / "README.md", CHECKOUT / "README.zh-CN.md"
BLOCK = re.compile(
    r"(?:<!--[ ]*test:[ ]*(?P<word>\w+)[ ]*(?P<reason>.*?)[ ]*-->[ ]*\n\s*)?"
    r"^```(?P<language>bash|python)[ ]*\n(?P<code>.*?)^```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block. word: "", "slow" or "skip"; reason: why it is skipped; line: of its first line of code."""

    language: str
    code: str
    word: str
    reason: str
    line: int


def blocks(text: str) -> list[Block]:
    """The bash and Python blocks of a Markdown text, in order."""
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        word, reason = match["word"] or "", match["reason"] or ""
        found.append(Block(match["language"], match["code"], word, reason, line))
    return found


def parameters() -> list[object]:
    """One test for each block of README; one that says why there is none while README is missing."""
    if not README.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="there is no README.md yet"), id="none")]
    wanted = []
    for block in blocks(README.read_text(encoding="utf-8")):
        marks = []
        if block.word == "slow":
            marks.append(pytest.mark.slow)
        if block.word == "skip":
            marks.append(pytest.mark.skip(reason=f"README.md:{block.line}: {block.reason}"))
        wanted.append(pytest.param(block, marks=marks, id=f"line-{block.line}-{block.language}"))
    return wanted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of README would be: somewhere that is not the checkout."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("block", parameters())
def test_block_runs(block: Block, folder: Path) -> None:
    programs = Path(sys.executable).parent
    surroundings = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, block.code],
        cwd=folder,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"README.md:{block.line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.skipif(not README.exists(), reason="there is no README.md yet")
def test_directives_are_known() -> None:
    text = README.read_text(encoding="utf-8")
    found = blocks(text)
    assert found, "README.md shows no command"
    assert {block.word for block in found} <= {"", "slow", "skip"}
    assert all(block.reason for block in found if block.word == "skip"), "a skipped block wants a reason"
    assert sum(bool(block.word) for block in found) == len(re.findall(r"<!--[ ]*test:", text)), (
        "a test comment stands before no block"
    )


@pytest.mark.skipif(not (README.exists() and CHINESE.exists()), reason="not both READMEs are there yet")
def test_both_readmes_show_the_same_commands() -> None:
    def bare(path: Path) -> list[str]:
        codes = [block.code for block in blocks(path.read_text(encoding="utf-8"))]
        return [re.sub(r"(^|\s+)#.*$", "", code, flags=re.MULTILINE).strip() for code in codes]

    assert bare(README) == bare(CHINESE)


def test_blocks_are_found_with_their_directives() -> None:
    text = (
        "# Title\n\n```bash\necho 1\n```\n\n<!-- test: slow -->\n```python\nprint(2)\n```\n"
        "<!-- test: skip needs a GPU -->\n\n```bash\necho 3\necho 4\n```\n```toml\na = 1\n```\n"
    )
    assert blocks(text) == [
        Block("bash", "echo 1\n", "", "", 4),
        Block("python", "print(2)\n", "slow", "", 9),
        Block("bash", "echo 3\necho 4\n", "skip", "needs a GPU", 14),
    ]
