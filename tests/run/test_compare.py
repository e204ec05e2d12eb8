"""Runs side by side, from their folders to the page."""

import shutil

import pytest

from fromnoise.common.errors import CheckpointError, DataError, UsageError
from fromnoise.evaluation.evaluate import EvaluationSpec
from fromnoise.run import Run
from fromnoise.run.compare import compare


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated") / "tiny"
    shutil.copytree(tiny_run.path, path)
    run = Run(path)
    run.evaluate(60)
    return run


def test_the_tables_have_a_column_a_run(evaluated, tiny_run, tmp_path):
    page = tmp_path / "new" / "page.html"
    found = compare([evaluated, tiny_run], page)
    assert found.facts[0] == ["", str(evaluated.path), str(tiny_run.path)], "both folders are called tiny"
    facts = {row[0]: row[1:] for row in found.facts}
    assert facts["network predicts"] == ["x0", "x0"] and facts["images seen"][0].startswith("640 ")
    measures = {row[0]: row[1:] for row in found.measures}
    assert ["60", "-", "60"] in measures.values() and measures["FD / FD(test)"][1:] == ["-", "1"]
    assert measures["NFE"] == [str(evaluated.sample(num=1).evaluations), "-", "-"]
    (note,) = found.notes
    assert str(tiny_run.path) in note and str(evaluated.path) not in note
    html = page.read_text()
    assert html == found.page and html.count("<img") == 2 and found.measures[1][1] in html


def test_evaluations_under_different_protocols_are_refused(evaluated, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(evaluated.path, other)
    Run(other).evaluate(60, spec=EvaluationSpec(features="pixels"))
    with pytest.raises(UsageError, match="pixels"):
        compare([evaluated, Run(other)], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    found = compare([evaluated, Run(other)], tmp_path / "page.html", with_metrics=False)
    assert found.measures == [] and found.notes == () and (tmp_path / "page.html").exists()


def test_a_single_run_is_refused(evaluated, tmp_path):
    with pytest.raises(UsageError, match="at least 2"):
        compare([evaluated], tmp_path / "page.html")


def test_a_damaged_evaluation_is_named(evaluated, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(evaluated.path, damaged)
    (damaged / "evaluation.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match=r"damaged.*evaluation\.json"):
        compare([evaluated, Run(damaged)], tmp_path / "page.html")


def test_a_run_that_was_never_trained_is_refused(evaluated, tiny_settings, tmp_path):
    new = Run.create("digits", output_dir=tmp_path / "new", settings=tiny_settings)
    with pytest.raises(CheckpointError):
        compare([evaluated, new], tmp_path / "page.html", with_metrics=False)
