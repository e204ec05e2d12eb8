"""The report's page from values alone."""

from pathlib import Path

import numpy as np

from fromnoise.diagnosis.diagnosis import Diagnosis
from fromnoise.diagnosis.finding import Finding
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.grid import grid
from fromnoise.report.run_report import FIGURES, RunContents, run_page

METADATA = {
    "settings": {"recipe": "ddpm"},
    "spec": {"classes": ["cat", "it's a dog"]},
    "data": {"name": "my_*pets*", "about": "8x8 grey, 2 classes", "count": 1234, "notes": ["2 images were skipped"]},
    "versions": {"fromnoise": "9.9.9"},
}
PNG = png_bytes(grid(np.zeros((4, 8, 8, 1), np.uint8)))


def html(**changes):
    values = {"path": Path("runs/a b"), "metadata": METADATA, "facts": [("images seen", "640")], "figures": {}}
    return run_page(RunContents(**{**values, **changes}))


def test_the_page_names_data_facts_notes_and_versions():
    page = html()
    for shown in ("my_*pets*", "ddpm", "1,234", "2 images were skipped", "images seen", "640", "fromnoise 9.9.9"):
        assert shown in page
    assert "<img" not in page


def test_every_figure_there_is_stands_on_the_page():
    assert html(figures=dict.fromkeys(FIGURES, PNG)).count("<img") == len(FIGURES)
    assert html(figures={"samples": PNG, "guesses": PNG}).count("<img") == 1, "an older run's figure is left out"


def test_the_diagnosis_and_what_is_missing_are_shown():
    finding = Finding("colour", "warning", "too dark", "train longer")
    diagnosis = Diagnosis([finding], {}, {}).to_json()
    page = html(missing="no images at /x", diagnosis=diagnosis, figures={"noise-levels": PNG})
    assert "no images at /x" in page and "too dark" in page and "<img" in page


def test_damaged_results_are_left_out():
    assert html(evaluation={"schema": 0}, sweep={}, diagnosis={"findings": 3}) == html()


def test_commands_quote_names_for_the_shell():
    assert "&#39;runs/a b&#39;" in html() and "--label &#39;it&#39;&#34;&#39;&#34;&#39;s a dog&#39;" in html()
    assert "--label" not in html(metadata={**METADATA, "spec": {"classes": []}})


def test_the_page_of_the_folder_one_stands_in_has_its_name(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path / "digits")
    assert "<title>digits" in html(path=Path()) and "<title>digits" in html(path=Path("../digits"))
