"""README keeps its word: its bash and Python blocks run, one after the other, in one empty folder.

A comment on the line before a block directs it: `<!-- test: slow -->` for one that trains (it then runs with
`make test-slow`), `<!-- test: skip because ... -->` for one that cannot run here. A block may use what an earlier
one of the same speed left in the folder.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fromnoise as fn

CHECKOUT = Path(__file__).resolve().parent.parent
README, CHINESE = CHECKOUT / "README.md", CHECKOUT / "README.zh-CN.md"
MINIMAL = CHECKOUT / "examples" / "minimal.py"
MINIMAL_SECONDS = 60  # what is promised for two quiet cores; one needs 50
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


def prose(path: Path) -> str:
    """The text of a README without code blocks, comments and the equation."""
    text = re.sub(r"^```.*?^```[ ]*$|<!--.*?-->|^ {4}[^\n]*$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert "```" not in text
    return text


def links(path: Path) -> list[str]:
    """The targets of a README's links and images."""
    return [re.sub(r"\s", "", target) for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))]


def numbers(text: str) -> list[str]:
    """Numbers that a reader meets: not those in code, targets of links, names, or the years of a table."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|\| (?:19|20)\d\d \|$", " ", text, flags=re.M)
    return re.findall(r"(?<![\w.,-])\d[\d.,]*", text)


def test_readme_is_short() -> None:
    text = prose(README)
    assert len(text.split()) < 800
    assert len(numbers(text)) <= 40, numbers(text)
    assert len(links(README)) >= 10
    table = re.findall(r"^\|.*\| (?:19|20)\d\d \|$", text, flags=re.M)
    assert 1 <= len(table) <= 15


def test_numbers_are_counted_as_a_reader_meets_them() -> None:
    text = "60 seconds, 1,500 images and 98.7 % of `x0` [DDPM](https://arxiv.org/abs/2006.11239), bf16\n| a | 2020 |\n"
    assert numbers(text) == ["60", "1,500", "98.7"]


@pytest.mark.parametrize("path", [README, CHINESE], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    missing = [link for link in links(path) if not link.startswith("https://") and not (CHECKOUT / link).exists()]
    assert not missing


def test_both_readmes_link_to_the_same_places() -> None:
    assert set(links(README)) - {CHINESE.name} == set(links(CHINESE)) - {README.name}


def test_both_readmes_have_the_same_sections_and_tables() -> None:
    def shape(path: Path) -> list[str]:
        return [
            line[:2] if line.startswith("#") else line[0]
            for line in prose(path).splitlines()
            if line.startswith(("#", "|", "-", "!"))
        ]

    assert shape(README) == shape(CHINESE)


def test_the_chinese_readme_uses_full_width_punctuation() -> None:
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", prose(CHINESE))
    assert not re.findall(r"[\u4e00-\u9fff][,;:?!()]|[,;:?!()][\u4e00-\u9fff]", text)


def test_the_whole_library_in_25_lines() -> None:
    code = MINIMAL.read_text(encoding="utf-8")
    tree = ast.parse(code)
    docstring = tree.body.pop(0)
    without = "\n".join(code.splitlines()[docstring.end_lineno :]).strip()
    assert without in [block.code.strip() for block in blocks(README.read_text(encoding="utf-8"))]
    imported = [node.names[0].name for node in tree.body if isinstance(node, ast.Import)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name for name in imported if name.startswith("fromnoise")] == ["fromnoise"]
    lines = [line for line in without.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 30


@pytest.mark.slow
def test_the_whole_library_in_25_lines_draws_digits(tmp_path: Path) -> None:
    one_core = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait for each other would count as work
    before = os.times()
    command = [sys.executable, str(MINIMAL)]
    subprocess.run(command, cwd=tmp_path, env=one_core, check=True, timeout=10 * MINIMAL_SECONDS)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    # Processor time, which a busy machine hardly changes; twice as much for one with a slower core.
    assert used < 2 * MINIMAL_SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["digits.png"]
    samples = tiles(np.asarray(Image.open(tmp_path / "digits.png").convert("L"), dtype=float), count=10, side=16)
    real = fn.load("digits")
    assert real.labels is not None
    pixels = real.images.numpy().reshape(len(real), -1).astype(float)
    nearest = [int(((pixels - sample.ravel()) ** 2).sum(1).argmin()) for sample in samples]
    right = sum(int(real.labels[place]) == digit for digit, place in enumerate(nearest))
    assert right >= 7, "the nearest real digits are of other classes"


def tiles(canvas: np.ndarray, count: int, side: int) -> list[np.ndarray]:
    """The images (side, side) of a grid that `fromnoise.grid` drew: enlarged by a whole number, with white gutters."""
    rows, columns = ([line for line in range(canvas.shape[axis]) if not white(canvas, axis, line)] for axis in (0, 1))
    found = []
    for top, bottom in runs(rows):
        for left, right in runs(columns):
            scale = (bottom - top) // side
            assert bottom - top == right - left == scale * side
            found.append(canvas[top:bottom:scale, left:right:scale])
    assert len(found) == count
    return found


def white(canvas: np.ndarray, axis: int, line: int) -> bool:
    """Whether a row (axis 0) or column (axis 1) is all white."""
    return bool((canvas.take(line, axis) == 255).all())


def runs(places: list[int]) -> list[tuple[int, int]]:
    """(first, last + 1) of each run of neighbouring numbers."""
    starts = [place for place in places if place - 1 not in places]
    return list(zip(starts, [place + 1 for place in places if place + 1 not in places], strict=True))


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
