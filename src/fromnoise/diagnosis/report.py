"""A diagnosis as it is kept and told: diagnosis.json, figures/noise-levels.png, lines on a terminal, a page's part."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.files import write_bytes
from fromnoise.common.version import __version__
from fromnoise.diagnosis.context import Case
from fromnoise.diagnosis.finding import ORDER, Finding, by_weight
from fromnoise.figures.curves import lines
from fromnoise.figures.grid import save
from fromnoise.report.html import Section

if TYPE_CHECKING:
    from fromnoise.run import Run

SCHEMA = 1
FILE, FIGURE = "diagnosis.json", "noise-levels.png"
_NAMES = {"ema": "network, averaged weights", "raw": "network, raw weights"}
_WIDTH = 100


@dataclass(frozen=True)
class Diagnosis:
    """findings: faults first. curves: plain JSON, the errors by noise level. about: what was looked at. path: the file.

    curves is {} where the weights could not be asked. Printed, it is the findings in words.
    """

    findings: list[Finding]
    curves: dict[str, list[float]]
    about: dict[str, Any]
    path: Path

    def to_json(self) -> dict[str, Any]:
        """What diagnosis.json holds."""
        return {
            "schema": SCHEMA,
            "fromnoise": __version__,
            "about": self.about,
            "findings": [finding.to_json() for finding in self.findings],
            "curves": self.curves,
        }

    def __str__(self) -> str:
        said = [summary(self.findings)]
        for finding in self.findings:
            said += _block(finding)
        return "\n".join(said)


def summary(findings: list[Finding]) -> str:
    """`2 faults, 1 thing worth knowing, 8 good.`"""
    faults, notes, good = (sum(f.level == level for f in findings) for level in ("fault", "worth knowing", "good"))
    first = f"{faults} fault{'s' if faults != 1 else ''}" if faults else "No fault was found"
    return f"{first}; {notes} thing{'s' if notes != 1 else ''} worth knowing, {good} good."


def _block(finding: Finding) -> list[str]:
    """A fault in full, what is good in one line."""
    if finding.level == "good":
        return [f"good           {finding.name}: {finding.says}"]
    words = f"{finding.level:<14} {finding.name}: {finding.says}"
    said = ["", *textwrap.wrap(words, _WIDTH, subsequent_indent=" " * 15, break_on_hyphens=False)]
    if finding.do:
        indent = {"initial_indent": " " * 15 + "do: ", "subsequent_indent": " " * 19}
        said += textwrap.wrap(finding.do, _WIDTH, break_on_hyphens=False, **indent)  # type: ignore[arg-type]
    return said


def tell(case: Case, findings: list[Finding], looked: bool = True) -> Diagnosis:
    """Write diagnosis.json and the figure into the run's folder; WriteError where that cannot be.

    looked: the network was asked; else there are no curves, and no figure of them is kept.
    """
    run, curves = case.run, _curves(case) if looked else {}
    sampling = case.options
    about = {
        "images": case.count if looked else 0,
        "held_out": case.held_out is not None,
        "checkpoint": case.seen,
        "weights": case.weights,
        "sampling": {"sampler": sampling.sampler, "steps": sampling.steps, "guidance_scale": sampling.guidance_scale},
    }
    place = run.folder.path / FILE
    diagnosis = Diagnosis(by_weight(findings), curves, about, place)
    if looked:
        _draw(curves, run.folder.figures / FIGURE)
    else:
        (run.folder.figures / FIGURE).unlink(missing_ok=True)
    write_bytes(place, json.dumps(_finite(diagnosis.to_json()), indent=1).encode())
    return diagnosis


def _curves(case: Case) -> dict[str, list[float]]:
    means = {name: error.mean(1).tolist() for name, error in case.curves.items()}
    return {"time": case.levels.times.tolist(), "strength": case.levels.strength.tolist(), **means}


def _finite(value: Any) -> Any:
    """JSON knows no NaN: such a number is null."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw(curves: dict[str, list[float]], path: Path) -> None:
    """Error against the strength of the noise, both on logarithmic axes."""
    strength = [float(f"{value:.2g}") for value in curves["strength"]]  # they name the ticks
    # The averaged weights last: where both agree, it is they that are seen.
    names = _NAMES | {name: f"network, {name}" for name in curves if name.startswith("ema:")}
    shown = [name for name in dict.fromkeys((*_SHOWN, *names)) if name in curves]
    series = {names.get(name, name): (strength, curves[name]) for name in shown}
    x, y = "noise beside image, in standard deviations", "squared error / variance of the data"
    figure = lines(series, x, y, "One guess at the clean image, by noise level", log_x=True)
    figure.axes[0].set_yscale("log")
    save(figure, path)


_SHOWN = ("linear filter", "look-up", "raw", "ema")


def diagnosis_section(run: Run) -> list[Section]:
    """The diagnosis as parts of a page, from the files in the run folder; empty where there is none."""
    found = _kept(run.folder.read_json(run.folder.path / FILE))
    if not found:
        return []
    table = [("level", "what", "found", "what to do"), *((f.level, f.name, f.says, f.do) for f in found)]
    sections = [Section("Diagnosis", text=summary(found), table=table)]
    figure = run.folder.figures / FIGURE
    if figure.is_file():
        caption = (
            "The network asked once, beside the best linear filter and the posterior mean over training images. It has "
            "learned where it is below both; 1 is the error of the mean picture. The one-step guesses show the same in "
            "pictures."
        )
        sections.append(Section("", image=figure.read_bytes(), caption=caption, alt="Error by noise level"))
    return sections


def _kept(content: Any) -> list[Finding]:
    """The findings in what diagnosis.json holds.

    Empty where there is no such file, where it is damaged, and where an older fromnoise made it: diagnosing again
    writes a new one.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return []
    try:
        found = [Finding(**fields) for fields in content["findings"]]
    except (KeyError, TypeError):
        return []
    words = all(isinstance(word, str) for f in found for word in (f.name, f.says, f.do))
    return found if words and all(f.level in ORDER for f in found) else []
