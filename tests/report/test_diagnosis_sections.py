"""The diagnosis in a report."""

import json

import pytest

from fromnoise.diagnosis.diagnosis import Diagnosis
from fromnoise.diagnosis.finding import Finding
from fromnoise.report.diagnosis_sections import diagnosis_sections


def test_findings_are_rows_and_the_figure_follows():
    findings = [
        Finding("labels", "error", "shuffled", "sort them"),
        Finding("colour", "ok", "fine", "", {"mean": [1.0]}),
    ]
    content = json.loads(json.dumps(Diagnosis(findings, {}, {}).to_json()))
    table, figure = diagnosis_sections(content, b"png")
    assert table.table[1:] == [("error", "labels", "shuffled", "sort them"), ("ok", "colour", "fine", "")]
    assert table.text.startswith("1 error, 0 warnings, 1 ok") and figure.image == b"png"
    assert len(diagnosis_sections(content, None)) == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        3,
        {},
        {"schema": 1, "findings": [{"name": "labels", "level": "fault", "says": "wrong", "do": "", "numbers": {}}]},
        {"schema": 2},
        {"schema": 2, "findings": 3},
        {"schema": 2, "findings": [3]},
        {"schema": 2, "findings": [{"name": "labels"}]},
        {"schema": 2, "findings": [{"name": "labels", "level": "error", "message": 3}]},
        {"schema": 2, "findings": [{"name": "labels", "level": ["error"], "message": "wrong"}]},
        {"schema": 2, "findings": [{"name": "labels", "level": "error", "message": "wrong", "more": 1}]},
    ],
)
def test_a_diagnosis_that_is_missing_damaged_or_older_has_no_section(content):
    assert diagnosis_sections(content, b"png") == []
