"""An evaluation in words and tables, for the terminal and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fromnoise.common.text import count
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.protocol import flat
from fromnoise.evaluation.scores import Scores
from fromnoise.metrics.memorization import rate_by_chance
from fromnoise.settings import guidance_words

MEASURES = {
    "count": "images",
    "frechet_distance": "Fréchet distance (FD)",
    "frechet_interval": "  95 % interval",
    "frechet_infinite": "  FD∞",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "class_accuracy": "class accuracy",
    "frechet_pixels": "FD of pixels",
    "histogram_distance": "histogram distance, grey levels",
    "spectrum_deviation": "spectrum, octave most off, dB",
    "grain": "  finest octave, dB",
    "copy_rate": "copies of training images",
    "copy_rate_features": "  copies in features",
    "copy_z": "  nearer than test images (z)",
    "duplicate_rate": "duplicates",
}
GRAIN_DECIBELS, OCTAVE_DECIBELS = 3.0, 1.5  # beyond which the finest octave, and any other, is named
_SHARES = {"precision", "recall", "coverage", "class_accuracy", "copy_rate", "copy_rate_features", "duplicate_rate"}


def evaluation_table(evaluation: Evaluation) -> list[list[str]]:
    """Rows of text, the first a heading: every measure of the samples and of the reference rows beside them."""
    columns = {
        "samples": evaluation.metrics,
        **{name.replace("_", " "): row for name, row in evaluation.reference_rows.items()},
    }
    there = {name: scores for name, scores in columns.items() if scores is not None}
    body = [[about, *(format_measure(key, scores) for scores in there.values())] for key, about in MEASURES.items()]
    return [["", *there], *(row for row in body if any(cell != "-" for cell in row[1:]))]


def conditions_table(conditions: Mapping[str, Any]) -> list[list[str]]:
    """Rows of text, the first a heading: for each condition the rank correlation of asked and measured values."""
    rows = [["rank correlation of asked and measured", "samples", "test"]]
    for name, row in conditions.items():
        rows.append([name, *("-" if row[of] is None else f"{row[of]:.3f}" for of in ("samples", "test"))])
    return rows


def format_measure(key: str, scores: Scores) -> str:
    """The measure `key` of MEASURES as text, "-" where it was not measured."""
    value = getattr(scores, key)
    if value is None:
        return "-"
    if key == "count":
        return f"{value:,}"
    if key == "frechet_interval":
        return f"{format_number(value[0])} to {format_number(value[1])}"
    if key == "kid":
        return f"{format_number(value)} ± {format_number(scores.kid_stderr, 1)}"
    if key in _SHARES:
        return f"{100 * value:.1f} %" if value in (0, 1) or value >= 0.001 else f"{100 * value:.2f} %"
    if key in ("spectrum_deviation", "grain"):
        return f"{value:+.1f}"
    if key == "frechet_infinite":
        error = scores.frechet_infinite_stderr
        return format_number(max(0.0, value)) + ("" if error is None else f" ± {format_number(error, 1)}")
    return f"{value:.1f}" if key == "copy_z" else format_number(value)


def format_number(value: float, digits: int = 3) -> str:
    """A number in `digits` significant digits without powers of ten: 0.0149, 5.91, 7,160."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def verdict(evaluation: Evaluation) -> str:
    """A few sentences: the Fréchet distance beside that of test images, and whether there are copies."""
    scores, ratio, interval = evaluation.metrics, evaluation.ratio_to_test, evaluation.ratio_interval
    text = f"Fréchet distance (FD) {format_number(scores.frechet_distance)}"
    if ratio is not None and interval is not None:
        low, high = (format_number(value, 2) for value in interval)
        text += f", FD / FD(test) = {format_number(ratio, 2)} (95 % interval {low} to {high})"
    text += "."
    if external := evaluation.statistics:
        text += f" FD to the statistics in {external['file']}: {format_number(external['frechet_distance'])}."
    return " ".join(filter(None, (text, _spectrum(evaluation), _copies(evaluation))))


def _spectrum(evaluation: Evaluation) -> str:
    """The octave whose power is off, in one sentence; grain of single pixels and lack of fine detail by these names."""
    scores, test = evaluation.metrics, evaluation.reference_rows["test"]
    if scores.grain is None or scores.spectrum_deviation is None:
        return ""
    if abs(scores.grain) > GRAIN_DECIBELS:
        coloured = scores.grain in scores.spectrum_colour[-1:]
        finest = f"{scores.grain:+.1f} dB of power{' of colours' if coloured else ''} at periods of up to 4 pixels"
        beside = f" (test images: {test.grain:+.1f})" if test is not None and test.grain is not None else ""
        grain = "A grain of single pixels lies over the samples" if scores.grain > 0 else "The samples lack fine detail"
        return f"{grain}: {finest}{beside}."
    if abs(scores.spectrum_deviation) <= OCTAVE_DECIBELS:
        return f"Power is within {abs(scores.spectrum_deviation):.1f} dB of the training images' in every octave."
    coloured = scores.spectrum_deviation in scores.spectrum_colour
    octaves = scores.spectrum_colour if coloured else scores.spectrum
    shortest = 2 ** (len(octaves) - octaves.index(scores.spectrum_deviation))
    return (
        f"Power{' of colours' if coloured else ''} is off by {scores.spectrum_deviation:+.1f} dB at periods of "
        f"{shortest} to {2 * shortest} pixels."
    )


def _copies(evaluation: Evaluation) -> str:
    scores, row = evaluation.metrics, evaluation.reference_rows["test"]
    if scores.copy_rate is None or scores.copy_rate_features is None or scores.copy_z is None:
        return ""
    test = (row.copy_rate or 0.0, row.copy_rate_features or 0.0) if row is not None else (0.0, 0.0)
    rates = (
        f"{100 * scores.copy_rate:.3g} % of samples in pixels and {100 * scores.copy_rate_features:.3g} % in features "
        "count as copies of training images"
    )
    if row is not None:
        rates += f" (test images: {100 * test[0]:.3g} and {100 * test[1]:.3g} %)"
    # Below the least distance of a few test images some samples lie by chance.
    slack = max(0.005, rate_by_chance(evaluation.protocol["measure"]["test"]["count"]))
    if scores.copy_rate > 2 * test[0] + slack or scores.copy_rate_features > 2 * test[1] + slack:
        return f"Copies found: {rates}."
    if scores.copy_z < -3:
        return f"{rates}: few, but the samples as a whole are nearer to training images than test images are."
    return f"No plain copies found: {rates}."


def protocol_line(evaluation: Evaluation) -> str:
    """The protocol in one line, which belongs to the numbers wherever they stand."""
    measure, sampling = evaluation.protocol["measure"], evaluation.protocol["sampling"]
    space, reference = measure["features"], measure["reference"]
    text = (
        f"protocol: {measure['count']:,} samples against {reference['name']} ({reference['split']}, "
        f"{reference['count']:,}) in {space['dimensions']} {space['name']} features (recipe "
        f"{space['recipe_hash'][:8]}, weights {space['weight_hash'][:8]})"
    )
    if "sampler" not in sampling:
        return text
    first, last = sampling["seeds"]
    guidance = guidance_words(sampling["guidance_scale"], sampling.get("guidance_interval"))
    noise = "".join(f", {name} {sampling[name]:g}" for name in ("eta", "churn") if sampling.get(name))
    return (
        f"{text}; {sampling['sampler']}{noise}, {count(sampling['steps'], 'step')}{guidance and f', {guidance}'} (NFE "
        f"{sampling['evaluations']}), seeds {first} to {last}, {sampling['weights']} weights at "
        f"{sampling['checkpoint']:,} images"
    )


def protocol_table(protocol: Mapping[str, Any]) -> list[list[str]]:
    """(what, value) rows, the first a heading."""
    return [["", "value"], *([key, str(value)] for key, value in flat(protocol).items() if value is not None)]


_EXTENDED = {
    "classification_accuracy": "classification accuracy score (trained on samples, tested on real images)",
    "real_accuracy": "  the same trained on as many real images",
    "real_count": "  images that either was trained on",
    "two_sample_accuracy": "two-sample test accuracy, samples against test images (best: 50 %)",
    "bits_per_dimension": "bits per dimension of test images",
}


def extended_table(extended: Mapping[str, Any]) -> list[list[str]]:
    """(what, value) rows, the first a heading."""
    rows = [["", "value"]]
    for key, about in _EXTENDED.items():
        if extended.get(key) is not None:
            value, error = extended[key], extended.get(f"{key}_stderr")
            if key == "real_count":
                rows.append([about, f"{value:,}"])
                continue
            text = f"{value:.4f}" if key == "bits_per_dimension" else f"{100 * value:.1f} %"
            if error is not None:
                text += f" ± {error:.4f}" if key == "bits_per_dimension" else f" ± {100 * error:.1f}"
            rows.append([about, text])
    return rows
