"""Every pair of recipe, format, size, channels and classes: exported, read again by itself, and the same images."""

from __future__ import annotations

import importlib
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fromnoise.export.verification import TOLERANCE

pytest.importorskip("onnxruntime")
pytest.importorskip("diffusers")
CHECKOUT = Path(__file__).resolve().parents[2]
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(CHECKOUT / "benchmarks"))
    matrix = importlib.import_module("export_matrix")
    machine = importlib.import_module("common").machine


def kept():
    return json.loads((CHECKOUT / "docs/results/export-matrix.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("cell", matrix.pairwise(), ids=str)
def test_an_export_read_again_makes_the_models_images(cell, tmp_path):
    found = matrix.outcome(cell, tmp_path)
    assert not found.refused and found.difference <= TOLERANCE and found.announced <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("case", matrix.REFUSED)
def test_what_a_format_cannot_hold_is_refused_by_its_name(case, tmp_path):
    reason = matrix.refusal(case, tmp_path)
    assert next(iter(matrix.REFUSED[case][1])) in reason and "exit code 2" in reason


def test_in_the_subset_every_pair_of_values_meets():
    axes = (matrix.RECIPES, matrix.FORMATS, matrix.SIZES, matrix.CHANNELS, matrix.CLASSES)
    chosen = [(c.recipe, c.format, c.size, c.channels, c.classes) for c in matrix.pairwise()]
    for (i, one), (j, other) in itertools.combinations(enumerate(axes), 2):
        assert {(c[i], c[j]) for c in chosen} == set(itertools.product(one, other))
    assert len(chosen) <= 1.3 * len(matrix.RECIPES) * len(matrix.FORMATS)


def test_a_cell_that_fails_is_a_row_and_is_made_again(tmp_path, monkeypatch):
    cell, made = matrix.CELLS[0], matrix.Outcome("its own pipeline.py", 0.0, 1e-7, 5, 0.1)
    found = []
    for one in (lambda *_: 1 / 0, lambda *_: replace(made, difference=0.5), lambda *_: made, lambda *_: 1 / 0):
        monkeypatch.setattr(matrix, "outcome", one)
        found.append(matrix.done((str(tmp_path), cell)))
    failed = [one["failed"] for one in found]
    assert "ZeroDivisionError" in failed[0] and "0.5" in failed[1] and failed[2:] == ["", ""]
    assert found[2] == found[3] and found[3]["difference"] == 1e-7
    about = {"command": "", "machine": machine(), "versions": {}, "refused": {}}
    pages = [matrix.page({**about, "cells": [one]}) for one in (found[0], found[2])]
    assert ["ZeroDivisionError" in page for page in pages] == [True, False]


def test_the_page_is_of_every_cell_and_all_are_the_models_images():
    found = kept()
    made = {(c["recipe"], c["format"], tuple(c["size"]), c["channels"], c["classes"]) for c in found["cells"]}
    axes = ({c[i] for c in made} for i in range(5))
    assert made == set(itertools.product(*axes)) and len(made) == len(found["cells"]) >= 360
    assert all(not c["refused"] and not c["failed"] and c["difference"] <= TOLERANCE for c in found["cells"])
    assert set(found["refused"]) == set(matrix.REFUSED)
    assert matrix.page(found) == (CHECKOUT / "docs/results/export-matrix.md").read_text()
