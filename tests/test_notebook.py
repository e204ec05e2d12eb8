"""The notebook: clean in the repository, and it runs from top to bottom."""

from __future__ import annotations

import ast
import base64
import io
import json
from itertools import pairwise
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "chapter.ipynb"


def cells(kind: str) -> list[str]:
    """The sources of all cells of one kind."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_it_is_committed_without_outputs():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert set(content["metadata"]) == {"kernelspec", "language_info"}


def test_every_cell_is_python_and_follows_some_words():
    kinds = [cell["cell_type"] for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]]
    assert kinds[0] == "markdown" and ("code", "code") not in set(pairwise(kinds))
    for source in cells("code"):
        ast.parse(source)


def test_it_uses_what_the_package_offers():
    code = "\n".join(cells("code"))
    assert "from fromnoise import BasicUNet, Run, corrupt, sample_with_step" in code
    assert "FROMNOISE_QUICK" in code and "optimizer.step()" in code


@pytest.mark.slow
@pytest.mark.parametrize("source", ["digits", "mnist"])
def test_it_runs_from_top_to_bottom(source, request, tmp_path, monkeypatch):
    """In quick mode, on digits where MNIST is not at hand; every cell that ends in a figure shows one."""
    import nbformat
    from nbclient import NotebookClient
    from PIL import Image

    if source == "mnist":
        monkeypatch.setenv("FROMNOISE_DATA", str(request.getfixturevalue("mnist_dir").parent))
    else:
        monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    monkeypatch.setenv("FROMNOISE_QUICK", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=180, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 11
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).load()
    words = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "309,057 parameters" in words and "1,707,009 parameters" in words and f"{source}:" in words
    differences = [float(line.rpartition(":")[2]) for line in words.splitlines() if "largest difference" in line]
    assert len(differences) == 3 and max(differences) <= 1e-5
    assert (tmp_path / "runs" / f"notebook-{source}-quick" / "default" / "config.json").is_file()
