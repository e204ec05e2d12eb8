"""The diagnosis as sections of a report."""

from __future__ import annotations

from typing import Any

from fromnoise.diagnosis.diagnosis import findings_from_json, summary
from fromnoise.report.html import Section

_CAPTION = (
    "The one-step error of the network, beside the best linear filter and the posterior mean over training images. It "
    "has learned where it is below both; 1 is the error of one even grey, the images' mean. The one-step predictions "
    "show the same in images."
)


def diagnosis_sections(content: Any, figure: bytes | None) -> list[Section]:
    """Sections from the content of diagnosis.json and the PNG of its figure, each None where there is none.

    Empty without findings, and for a file that is damaged or of an older schema.
    """
    findings = findings_from_json(content)
    if not findings:
        return []
    rows = ((f.level, f.name, f.message, f.advice) for f in findings)
    table = [("level", "check", "finding", "advice"), *rows]
    sections = [Section("Diagnosis", text=f"{summary(findings)}.", table=table)]
    if figure is not None:
        sections.append(Section("", image=figure, caption=_CAPTION, alt="Denoising error by noise level"))
    return sections
