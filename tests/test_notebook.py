"""The notebook is the chapter's script, clean in the repository, and it runs from top to bottom."""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from fromnoise.chapter.cells import filled, read_cells

CHECKOUT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("make_notebooks", CHECKOUT / "scripts" / "make_notebooks.py")
make_notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_notebooks)

TINY = {
    "BASIC_IMAGES": 1024,
    "STEPS_BY_HAND": 4,
    "UNET2D_IMAGES": 128,
    "STEP_COUNTS": (1, 5),
    "NUM_SAMPLES": 8,
    "UNET2D_NUM_SAMPLES": 2,
    "TEST_IMAGES": 64,
    "CLASSIFIER_STEPS": 20,
}


@pytest.mark.parametrize(("lang", "name"), make_notebooks.NOTEBOOKS.items())
def test_the_notebook_is_made_from_the_script(lang, name):
    written = (CHECKOUT / "examples" / name).read_text(encoding="utf-8")
    assert written == make_notebooks.notebook(read_cells(lang)), "run `make notebooks`"
    nbformat.validate(nbformat.reads(written, as_version=4))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["digits", "mnist"])
def test_it_runs_from_top_to_bottom(source, request, tmp_path, monkeypatch):
    """With little training; every figure is shown in the notebook."""
    from nbclient import NotebookClient

    if source == "mnist":
        monkeypatch.setenv("FROMNOISE_DATA", str(request.getfixturevalue("mnist_dir").parent))
    cells = filled(read_cells(), {**TINY, "DATA": source})
    notebook = nbformat.reads(make_notebooks.notebook(cells), as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    images = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) == 12
    for image in images:
        Image.open(io.BytesIO(base64.b64decode(image))).load()
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "309,057" in text and "1,707,009" in text and f"{source}:" in text
    assert (tmp_path / "chapter" / "chapter.json").is_file()
