"""A diagnosis: findings and denoising curves, as JSON, as lines on a terminal, and as a figure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fromnoise.common.stored_json import finite
from fromnoise.common.text import count
from fromnoise.common.version import __version__
from fromnoise.diagnosis.finding import LEVELS, Finding
from fromnoise.figures.curves import lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 2
_WIDTH = 100
_INDENT = 9  # columns before a name: those of the longest level
_SERIES = ("linear filter", "look-up", "raw", "ema")  # EMA weights last: drawn over raw ones where both agree
_NAMES = {"ema": "network, EMA weights", "raw": "network, raw weights"}


@dataclass(frozen=True)
class Diagnosis:
    """What a diagnosis found; printed, it is the findings in words.

    Arguments:
        findings: errors first.
        curves: errors by noise level, plain JSON; {} where the weights are not finite.
        about: what was checked: images, held_out, checkpoint, weights, sampling.
    """

    findings: list[Finding]
    curves: dict[str, list[float]]
    about: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What diagnosis.json holds; numbers that are not finite become None."""
        content = {
            "schema": SCHEMA,
            "fromnoise": __version__,
            "about": self.about,
            "findings": [finding.to_json() for finding in self.findings],
            "curves": self.curves,
        }
        return dict(finite(content))

    def figure(self) -> Figure | None:
        """Error against the strength of the noise, both on logarithmic axes; None without curves."""
        if not self.curves:
            return None
        strength = [float(f"{value:.2g}") for value in self.curves["strength"]]  # they label the ticks
        names = _NAMES | {name: f"network, {name}" for name in self.curves if name.startswith("ema:")}
        shown = [name for name in dict.fromkeys((*_SERIES, *names)) if name in self.curves]
        series = {names.get(name, name): (strength, self.curves[name]) for name in shown}
        x, y = "noise / image, in standard deviations", "squared error / variance of the data"
        figure = lines(series, x, y, "One-step x0 prediction, by noise level", log_x=True)
        figure.axes[0].set_yscale("log")
        return figure

    def __str__(self) -> str:
        printed = [summary(self.findings)]
        for finding in self.findings:
            printed += _block(finding)
        return "\n".join(printed)


def findings_from_json(content: Any) -> list[Finding]:
    """The findings in the content of a diagnosis.json.

    Empty for a file that is damaged or of another schema: a new diagnosis replaces it.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return []
    try:
        findings = [Finding(**fields) for fields in content["findings"]]
    except (KeyError, TypeError):
        return []
    texts = all(isinstance(text, str) for f in findings for text in (f.name, f.message, f.advice))
    return findings if texts and all(f.level in LEVELS for f in findings) else []


def summary(findings: list[Finding]) -> str:
    """`2 errors, 1 warning, 8 ok`."""
    errors, warnings, ok = (sum(finding.level == level for finding in findings) for level in LEVELS)
    return f"{count(errors, 'error')}, {count(warnings, 'warning')}, {ok} ok"


def _block(finding: Finding) -> list[str]:
    """An error or a warning in full, "ok" in one line."""
    text = f"{finding.level:<{_INDENT}}{finding.name}: {finding.message}"
    if finding.level == "ok":
        return [text]
    block = ["", *textwrap.wrap(text, _WIDTH, subsequent_indent=" " * _INDENT, break_on_hyphens=False)]
    if finding.advice:
        first, rest = " " * _INDENT + "advice: ", " " * (_INDENT + 8)
        block += textwrap.wrap(
            finding.advice, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
        )
    return block
