"""Write the chapter's notebooks into examples/ from the script that is the chapter.

    python scripts/make_notebooks.py

The format is a small JSON file (nbformat 4.5), written here as it is, without outputs; the tests validate it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fromnoise.chapter.cells import Cell, read_cells

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = {"en": "chapter.ipynb", "zh": "chapter.zh-CN.ipynb"}


def notebook(cells: Sequence[Cell]) -> str:
    """The cells as a notebook, as JSON."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": list(_cells(cells)), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cells(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    for number, cell in enumerate(cells):
        metadata = {"tags": ["parameters"]} if cell.kind == "parameters" else {}
        source = cell.source.splitlines(keepends=True)
        if cell.kind == "markdown":
            yield {"cell_type": "markdown", "id": f"text-{number:02}", "metadata": metadata, "source": source}
        else:
            code = {"cell_type": "code", "execution_count": None, "id": f"code-{number:02}", "metadata": metadata}
            yield {**code, "outputs": [], "source": source}


if __name__ == "__main__":
    for lang, name in NOTEBOOKS.items():
        (EXAMPLES / name).write_text(notebook(read_cells(lang)), encoding="utf-8")
