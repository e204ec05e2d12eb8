"""What an evaluation says, in the words and tables of the report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import DataError
from fromnoise.evaluation.evaluation import Evaluation, plain
from fromnoise.evaluation.protocol import flat
from fromnoise.evaluation.sweep import Sweep, sweep_table
from fromnoise.report.html import Section
from fromnoise.settings import guidance_words

if TYPE_CHECKING:
    from fromnoise.run.folder import RunFolder


def evaluation_sections(folder: RunFolder) -> list[Section]:
    """The sections for evaluation.json and sweep.json in a run folder; none for what is not there."""
    sections: list[Section] = []
    content = folder.read_json(folder.evaluation)
    if content is not None:
        with contextlib.suppress(DataError):  # an older schema, or damaged: evaluating again writes a new one
            sections += sections_of(Evaluation.from_json(content), _picture(folder.figures / "closest.png"))
    swept = folder.read_json(folder.sweep)
    if swept is not None:
        with contextlib.suppress(DataError):
            sections += _swept(Sweep.from_json(swept), folder)
    return sections


def _swept(sweep: Sweep, folder: RunFolder) -> list[Section]:
    text = f"Ways of sampling, each measured on the same {sweep.count:,} seeds, beside as many test images."
    by_cost, by_time = (_picture(folder.figures / name) for name in ("sweep.png", "sweep-seconds.png"))
    first = Section("Quality against cost", text=text, image=by_cost, table=sweep_table(sweep))
    return [first] if by_time is None else [first, Section("", image=by_time)]


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
    "mean copying. The numbers above each row are distances in grey levels (root mean square)."
)


def verdict(evaluation: Evaluation) -> str:
    """A few sentences: how far from real images, and whether anything was copied."""
    scores, ratio, interval = evaluation.metrics, evaluation.ratio_to_test, evaluation.ratio_interval
    words = f"Frechet distance {plain(scores.frechet_distance)}"
    if ratio is not None and interval is not None:
        words += f", {plain(ratio, 2)} times that of test images ({plain(interval[0], 2)} to {plain(interval[1], 2)})"
    words += "."
    if found := evaluation.statistics:
        words += f" To the statistics in {found['file']}: {plain(found['frechet_distance'])}."
    return f"{words} {_copies(evaluation)}".strip()


def protocol_line(evaluation: Evaluation) -> str:
    """What the figures were measured with, in one line: what must always stand beside them."""
    measure, sampling = evaluation.protocol["measure"], evaluation.protocol["sampling"]
    space, reference = measure["features"], measure["reference"]
    words = (
        f"{measure['count']:,} pictures against {reference['name']} ({reference['split']}, {reference['count']:,}) in "
    )
    words += f"{space['dimensions']} {space['name']} features (recipe {space['recipe_hash'][:8]}, weights "
    words += f"{space['weight_hash'][:8]})"
    if "sampler" not in sampling:
        return f"protocol: {words}"
    first, last = sampling["seeds"]
    guided = guidance_words(sampling["guidance_scale"], sampling.get("guidance_interval"))
    guided = guided and f", {guided}"
    words += (
        f"; {sampling['sampler']}, {sampling['steps']} steps{guided} ({sampling['evaluations']} evaluations), seeds "
    )
    return f"protocol: {words}{first} to {last}, {sampling['weights']} weights at {sampling['checkpoint']:,} images"


def _copies(evaluation: Evaluation) -> str:
    scores, row = evaluation.metrics, evaluation.reference_rows["test"]
    if scores.copy_rate is None or scores.copy_rate_features is None or scores.copy_z is None:
        return ""
    usual = (row.copy_rate or 0.0, row.copy_rate_features or 0.0) if row is not None else (0.0, 0.0)
    rates = (
        f"{100 * scores.copy_rate:.3g} % in pixels and {100 * scores.copy_rate_features:.3g} % in features look like "
    )
    rates += f"copies of training images (of test images {100 * usual[0]:.3g} and {100 * usual[1]:.3g} %)"
    if scores.copy_rate > 2 * usual[0] + 0.005 or scores.copy_rate_features > 2 * usual[1] + 0.005:
        return f"Copies are among them: {rates}."
    if scores.copy_z < -3:
        return f"{rates}: few, but as a whole the samples lie nearer to training images than test images do."
    return f"No plain copies were found: {rates}."


def protocol_table(protocol: Mapping[str, Any]) -> list[list[str]]:
    """(what, value) rows, the first a heading."""
    return [["", "value"], *([key, str(value)] for key, value in flat(protocol).items() if value is not None)]


_DEEP = {
    "classification_accuracy": "a classifier trained on samples alone, tested on real images",
    "real_accuracy": "the same trained on as many real images",
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
