"""The report of a run: one self-contained page with what was trained, how it went, and how good the samples are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.text import quoted
from fromnoise.report.diagnosis_sections import diagnosis_sections
from fromnoise.report.evaluation_sections import stored_sections
from fromnoise.report.html import Section, page

_FIGURES = {
    "samples": ("Samples", "Seeds 0 to 63, not selected; where there are classes, one after the other."),
    "loss": (
        "Loss",
        "The training loss against images seen: the lines of `metrics.jsonl` faint, their running mean on top. It "
        "averages over all noise levels, so it flattens long before the samples stop improving.",
    ),
    "loss-by-noise": (
        "Validation loss by noise level",
        "The loss on validation images, always with the same noise, in eight parts of the times. Where it stops "
        "falling, the network has learned what can be predicted at that noise level.",
    ),
    "progress": (
        "Evaluations during training",
        "The Fréchet distance (FD) of fewer samples than in a full evaluation, and therefore higher.",
    ),
    "corruption": ("Corruption", "Training images, and the same images with noise increasing from none to all."),
    "predictions": (
        "One-step x0 predictions",
        "The clean image that the network predicts from a noisy one, in one evaluation. At low noise the prediction "
        "should match the image; at pure noise the best prediction is the mean image (of the class, where the network "
        "is conditioned on it).",
    ),
    "trajectory": (
        "From noise to samples",
        "Sampling repeats the prediction. Each pair of rows follows one seed: x after a step, and the x0 prediction "
        "that the step moves towards. The numbers above are the step and the time after it.",
    ),
    "nearest": (
        "Nearest training images",
        "Each sample above the training image nearest to it in pixels. A near-duplicate would mean memorisation.",
    ),
}
FIGURES = tuple(_FIGURES)
"""The names of a report's figures, in its order."""


@dataclass(frozen=True)
class RunContents:
    """What a report shows.

    Arguments:
        path: the run folder, as commands name it.
        metadata: the content of config.json.
        facts: rows of (what, value).
        figures: the bytes of PNG files by name: FIGURES, and those of the other parts; what is missing is left out.
        missing: why some figures could not be drawn, or "".
        evaluation, sweep, diagnosis: the content of evaluation.json, sweep.json and diagnosis.json.
    """

    path: Path
    metadata: Mapping[str, Any]
    facts: Sequence[tuple[str, str]]
    figures: Mapping[str, bytes]
    missing: str = ""
    evaluation: Mapping[str, Any] | None = None
    sweep: Mapping[str, Any] | None = None
    diagnosis: Mapping[str, Any] | None = None


def run_page(contents: RunContents) -> str:
    """The report as HTML."""
    data, recipe = contents.metadata["data"], contents.metadata["settings"]["recipe"]
    facts, figures = [("", "value"), *contents.facts], contents.figures
    sections = [Section("What was trained", table=facts, text="\n\n".join(data["notes"]))]
    for name, (title, text) in _FIGURES.items():
        if name in figures:
            sections.append(Section(title, text=text, image=figures[name]))
    if contents.missing:
        sections.append(Section("What is missing", text=contents.missing))
    sections += stored_sections(contents.evaluation, contents.sweep, figures)
    sections += diagnosis_sections(contents.diagnosis, figures.get("noise-levels"))
    sections.append(Section("Next steps", text=_NEXT, code=_commands(contents)))
    there = f"{data['count']:,} images, " if data["count"] else ""
    lead = f"The recipe `{recipe}` on {data['name']}: {there}{data['about']}."
    versions = ", ".join(f"{name} {version}" for name, version in contents.metadata["versions"].items())
    return page(contents.path.resolve().name, lead, sections, f"Made by {versions}.")


_NEXT = "These commands need the run folder alone. The command that started the run also continues it."


def _commands(contents: RunContents) -> str:
    path, classes = quoted(contents.path), contents.metadata["spec"]["classes"]
    lines = [
        f"fromnoise sample {path} --num 64 --out samples.png",
        f"fromnoise sample {path} --seeds 0-15 --out steps.gif",
        f"fromnoise sample {path} --num 10000 --out samples.npz",
        f"fromnoise evaluate {path}",
        f"fromnoise diagnose {path}",
    ]
    if classes:
        joint = "=" if classes[-1].startswith("-") else " "  # else it would be read as a flag
        lines.insert(2, f"fromnoise sample {path} --label{joint}{shlex.quote(classes[-1])} --out one-class.png")
    return "\n".join(lines)
