"""The page of gpu.py: a section a part, with its table, or with the reason for which it is left out or not whole."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from common import RESULTS, in_words, short, table, with_range

from fromnoise.evaluation.summary import format_number

TITLES = {
    "speed": "Images per second",
    "quality": "Seconds to the quality of a CPU",
    "few_steps": "Few steps",
    "distilled": "Few steps, distilled",
    "compiled": "torch.compile",
    "peers": "Peers",
}
CPU_SECONDS = 600.0
_SPEED = ("pixels", "batch", "parameters", "computes in", "images/s", "MFLOP per image", "share of matmul",
          "memory", "ready after")  # fmt: skip
_SCORES = ("samples", "Fréchet distance", "FD / FD(test)", "class accuracy")


def cpu_quality(data: str) -> float | None:
    """FD / FD(test) that the default recipe reaches on `data` in 600 s of two CPU cores, the mean of its seeds.

    None where docs/results has no such rows. A ratio, since every machine trains the classifier of its own features.
    """
    path = RESULTS / f"time-to-quality-{data}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    rows = [row for row in rows if row["contender"] == "ours" and row["budget"] == CPU_SECONDS]
    return statistics.mean(row["scores"][_largest(row)]["ratio_to_test"] for row in rows) if rows else None


def _largest(row: Mapping[str, Any]) -> str:
    return max(row["scores"], key=int)


def page(found: Mapping[str, Any]) -> str:
    """The whole page of what is there so far."""
    card = found["machine"]["device"]
    trial = "**A trial of the script with tiny networks and times: its numbers mean nothing.**\n\n"
    spent = f"{found['seconds']:.0f} s of {found['planned']:g}" if "seconds" in found else "not done yet"
    parts = [
        f"# The default recipe on {'the CPU' if card == 'cpu' else card}\n\n{trial if found['quick'] else ''}"
        f"`{found['command']}` ({spent}), on {in_words(found['machine'])}. One seed each."
    ]
    for name, title in TITLES.items():
        outcome = found["parts"].get(name)
        said = "Not measured." if outcome is None else _said(outcome)
        body = SECTIONS[name](outcome["rows"], found) if outcome and outcome["rows"] else ""
        parts += [f"## {title}", said, body]
    return "\n\n".join(part for part in parts if part) + "\n"


def _said(outcome: Mapping[str, Any]) -> str:
    if outcome["said"] == "done":
        return f"Took {outcome['seconds']:.0f} s."
    return f"**Not whole: {outcome['said']}.**"


def _speed(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    lines = [_speed_cells(row, row["mflop_per_image"]) for row in rows]
    return (
        "Whole training steps on random images, at the recipe's size without a time budget: batch, noise, forward, "
        "backward, optimiser, averaged weights. Share of matmul: the floating-point operations of a step over those "
        f"that large square matrices reach in turn with it ({_peak(rows)}).\n\n{table(_SPEED, lines)}"
    )


def _speed_cells(row: Mapping[str, Any], mflop: float | None) -> list[str]:
    share = "–" if mflop is None else f"{100 * share_of_peak(row, mflop):.1f} %"
    return [
        f"{row['side']}, {'grey' if row['channels'] == 1 else 'colour'}",
        f"{row['batch']:,}",
        f"{row['parameters']:,}",
        row["type"],
        with_range(row["images_per_second"]),
        "–" if mflop is None else short(mflop),
        share,
        "–" if row["memory_mb"] is None else f"{short(row['memory_mb'])} MB",
        f"{row['ready_seconds']:.1f} s",
    ]


def share_of_peak(row: Mapping[str, Any], mflop: float) -> float:
    """What part of the measured matrix multiplications' speed a row's steps reach, at `mflop` for each image."""
    gflops: float = row["images_per_second"]["median"] * mflop / 1e3
    return gflops / float(row["peak_gflops"]["median"])


def _peak(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{short(statistics.median(row['peak_gflops']['median'] for row in rows) / 1e3)} TFLOP/s"


def _compiled(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    eager = {row["side"]: row for row in found["parts"].get("speed", {}).get("rows", ())}
    lines = []
    for row in rows:
        plain = eager.get(row["side"])
        times = "–"
        if plain:
            times = short(row["images_per_second"]["median"] / plain["images_per_second"]["median"])
        lines.append([*_speed_cells(row, plain["mflop_per_image"] if plain else None), times])
    return (
        "The same steps with `train.compile=yes`; the last column is its images per second over those above.\n\n"
        + table((*_SPEED, "times eager"), lines)
    )


def _quality(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    heading = ("budget", "trained", "images seen", "images/s", *_SCORES, "sampling")
    lines = [
        [
            f"{row['budget']:g} s",
            f"{row['train_seconds']:.1f} s",
            f"{row['images_seen']:,}",
            short(row["images_per_second"]),
            *_scores(row),
            f"{row['sample_seconds']:.1f} s",
        ]
        for row in rows
    ]
    test = format_number(rows[0]["test"])
    return f"{reached(rows)} As many test images as there are samples are at {test}.\n\n{table(heading, lines)}"


def reached(rows: Sequence[Mapping[str, Any]]) -> str:
    """A sentence: the first budget that is as good as the CPU's 600 s."""
    target = rows[0]["target"]
    if target is None:
        return "There is no figure of a CPU for these images."
    goal = f"FD / FD(test) of {format_number(target)}, which two CPU cores reach in {CPU_SECONDS:g} s"
    good = [row for row in rows if row["ratio_to_test"] <= target]
    if good:
        return f"**{good[0]['train_seconds']:.0f} s** reach the {goal} (of {_budgets(rows)} tried)."
    return f"None of {_budgets(rows)} reaches the {goal}."


def _budgets(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{row['budget']:g}" for row in rows) + " s"


def _few_steps(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    heading = ("steps", "evaluations", "seconds", "images/s", *_SCORES)
    lines = [
        [
            f"{row['steps']}{' (its own)' if row['own'] else ''}",
            str(row["evaluations"]),
            f"{row['seconds']:.2f} s",
            short(row["samples"] / row["seconds"]),
            *_scores(row),
        ]
        for row in rows
    ]
    words = f"The run of {rows[0]['budget']:g} s, by its own sampler, guided where the recipe guides."
    if "distill_seconds" in rows[0]:
        words = f"The same run after {rows[0]['distill_seconds']:.0f} s of `fromnoise distill`, trajectories included."
    return f"{words} Seconds are those of a second sampling.\n\n{table(heading, lines)}"


def _peers(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    heading = ("peer", "budget", "images seen", "images/s", *_SCORES, "evaluations", "sampling", "versions")
    lines = [
        [
            row["peer"],
            f"{row['budget']:g} s",
            f"{row['images_seen']:,}",
            short(row["images_per_second"]),
            *_scores(row),
            str(row["evaluations"]),
            f"{row['sample_seconds']:.1f} s",
            ", ".join(map(" ".join, row["versions"].items())),
        ]
        for row in rows
        if "left_out" not in row
    ]
    missing = [f"- {row['peer']}: left out, {row['left_out']}" for row in rows if "left_out" in row]
    words = (
        "As their own small examples train, from images in memory; distances are of fewer samples than ours above, "
        "which makes them larger.\n\n" + table(heading, lines)
        if lines
        else ""
    )
    return "\n\n".join(filter(None, (words, "\n".join(missing))))


def _scores(row: Mapping[str, Any]) -> list[str]:
    ratio, accuracy = row["ratio_to_test"], row["class_accuracy"]
    return [
        f"{row['samples']:,}",
        format_number(row["frechet_distance"]),
        "–" if ratio is None else format_number(ratio),
        "–" if accuracy is None else f"{100 * accuracy:.1f} %",
    ]


SECTIONS = {
    "speed": _speed,
    "quality": _quality,
    "few_steps": _few_steps,
    "distilled": _few_steps,
    "compiled": _compiled,
    "peers": _peers,
}
