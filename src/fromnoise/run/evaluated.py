"""What an evaluation says, in the words and tables of the report."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.errors import DataError
from fromnoise.metrics.evaluation import Evaluation
from fromnoise.page import Section
from fromnoise.run.sweeping import Point, sweep_table

if TYPE_CHECKING:
    from fromnoise.run.folder import Folder


def evaluation_sections(folder: Folder) -> list[Section]:
    """The sections for evaluation.json and sweep.json in a run folder; none for what is not there."""
    sections: list[Section] = []
    content = folder.read_json(folder.evaluation)
    if content is not None:
        with contextlib.suppress(DataError):  # an older schema: evaluating again writes the new one
            sections += sections_of(Evaluation.from_json(content), _picture(folder.figures / "closest.png"))
    swept = folder.read_json(folder.sweep)
    if swept is not None and swept["points"]:
        table = sweep_table([Point(**point) for point in swept["points"]])
        text = f"Ways of sampling, each measured on the same {swept['count']:,} seeds."
        picture = _picture(folder.figures / "sweep.png")
        sections.append(Section("Quality against cost", text=text, image=picture, table=table))
    return sections


def sections_of(evaluation: Evaluation, closest: bytes | None) -> list[Section]:
    """How good, what it was measured with, and the closest pairs."""
    words = "\n\n".join([verdict(evaluation), _HOW_TO_READ, *evaluation.notes])
    sections = [Section("How good", text=words, table=evaluation.table())]
    if evaluation.deep:
        sections.append(Section("Deeper measures", table=deep_table(evaluation.deep)))
    sections.append(Section("The protocol", text=_PROTOCOL, table=protocol_table(evaluation.protocol)))
    if closest is not None:
        sections.append(Section("Closest pairs", text=_CLOSEST, image=closest))
    return sections


_HOW_TO_READ = (
    "A Frechet distance has no unit: read it beside the other columns, which are real images measured as if they were "
    "samples. `test` is what a perfect model would get, `noise` what nothing gets. Figures of another number of "
    "pictures, another reference or other features are other units."
)
_PROTOCOL = "All that decides the figures. `fromnoise compare` refuses runs that were measured otherwise."
_CLOSEST = (
    "Of all samples the 16 that lie closest to a training image, above that image. Relatives are good; twins would "
    "mean copying. The number is the distance in grey levels (root mean square)."
)


def verdict(evaluation: Evaluation) -> str:
    """One or two sentences: how far from real images, and whether anything was copied."""
    scores, ratio = evaluation.metrics, evaluation.ratio_to_test
    low, high = scores.frechet_interval
    words = f"Frechet distance {scores.frechet_distance:.4g} (95 % interval {low:.4g} to {high:.4g})"
    words += f", {ratio:.3g} times that of test images." if ratio is not None else "."
    row = evaluation.reference_rows["test"]
    if scores.copy_rate is not None and row is not None and row.copy_rate is not None:
        more = scores.copy_rate > 2 * row.copy_rate + 0.005
        told = "copies are among them" if more else "no sign of copying"
        words += (
            f" {100 * scores.copy_rate:.2g} % look like copies, against {100 * row.copy_rate:.2g} % of test images: "
        )
        words += f"{told}."
    return words


def protocol_table(protocol: Any, stem: str = "") -> list[list[str]]:
    """(what, value) rows, the first a heading."""
    return [["", "value"], *([key, str(value)] for key, value in _flat(protocol).items() if value is not None)]


def _flat(content: Any, stem: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{stem}{key}, ") if isinstance(value, dict) else {f"{stem}{key}": value}
    return flat


_DEEP = {
    "classification_accuracy": "a classifier trained on samples alone, tested on real images",
    "real_accuracy": "the same trained on real images",
    "two_sample_accuracy": "telling samples from test images (50 % is perfect)",
    "bits_per_dimension": "bits per dimension of test images",
}


def deep_table(deep: Any) -> list[list[str]]:
    """(what, value) rows, the first a heading."""
    rows = [["", "value"]]
    for key, about in _DEEP.items():
        if deep.get(key) is not None:
            value, error = deep[key], deep.get(f"{key}_stderr")
            said = f"{value:.4f}" if key == "bits_per_dimension" else f"{100 * value:.1f} %"
            if error is not None:
                said += f" ± {error:.4f}" if key == "bits_per_dimension" else f" ± {100 * error:.1f}"
            rows.append([about, said])
    return rows


def _picture(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
