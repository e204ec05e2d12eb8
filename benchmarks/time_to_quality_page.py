"""The page of time_to_quality.py: rows kept by contender, budget and seed, tables of them, a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from common import in_words, table

from fromnoise.common.errors import UsageError
from fromnoise.evaluation.protocol import comparable
from fromnoise.evaluation.summary import format_number

TEST = "test images"
CHAPTER = "chapter-basic"
ALL = 10_000  # samples that the seconds of sampling are given for
_COLUMNS = ("contender", "seeds", "images seen", "images/s", "budget used", "Fréchet distance", "worst",
            "FD / FD(test)", "relative to ours", "class accuracy", "copies", "evaluations",
            "sampling 10,000")  # fmt: skip

Row = dict[str, Any]


def key(row: Mapping[str, Any]) -> tuple[str, float, int]:
    """What a row is kept by."""
    return row["contender"], row["budget"], row["seed"]


def merged(kept: Mapping[str, Any] | None, found: Mapping[str, Any]) -> dict[str, Any]:
    """`kept` with the rows of `found`, which replace those of the same key.

    Where the classifier was trained again, rows of the earlier one keep its `measure` and `test` of their own.
    UsageError where the two are of other data, machines or protocols: such rows are no comparison.
    """
    if kept is None:
        return dict(found)
    for name in ("data", "machine"):
        if kept[name] != found[name]:
            raise UsageError(
                f"the rows that are kept have another {name} ({kept[name]}) than this one ({found[name]}); give "
                "another --out"
            )
    shared = kept["measure"].keys() & found["measure"].keys()
    for count in shared:
        comparable(kept["measure"][count], found["measure"][count])
    other = any(weights(kept["measure"], count) != weights(found["measure"], count) for count in shared)
    own = {name: kept[name] for name in ("measure", "test")} if other else {}
    rows = {key(row): row for row in ({**own, **row} if own else row for row in kept["rows"])}
    rows |= {key(row): row for row in found["rows"]}
    together = {name: {**kept[name], **found[name]} for name in ("measure", "test")}
    return {**found, **together, "rows": sorted(rows.values(), key=key)}


def weights(measure: Mapping[str, Any], count: str) -> str:
    """The hash of the classifier by whose features samples were measured at `count`."""
    return str(measure[count]["features"]["weight_hash"])


def _earlier(found: Mapping[str, Any], row: Mapping[str, Any], count: str) -> bool:
    """Whether the row was scored by another training of the classifier than most, at `count` samples."""
    return "measure" in row and weights(row["measure"], count) != weights(found["measure"], count)


def grouped(rows: Sequence[Row], budget: float, count: str) -> dict[str, list[Row]]:
    """Rows of `budget` that were scored at `count` samples, by contender, the best first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["budget"] == budget and count in row["scores"]:
            groups.setdefault(row["contender"], []).append(row)
    return dict(sorted(groups.items(), key=lambda item: statistics.mean(distances(item[1], count))))


def distances(rows: Sequence[Row], count: str) -> list[float]:
    """The Fréchet distance of each row at `count` samples."""
    return [row["scores"][count]["frechet_distance"] for row in rows]


def counts(found: Mapping[str, Any]) -> list[str]:
    """The numbers of samples that rows were scored at, fewest first."""
    return sorted({count for row in found["rows"] for count in row["scores"]}, key=int)


def budgets(found: Mapping[str, Any]) -> list[float]:
    """Rising."""
    return sorted({row["budget"] for row in found["rows"]})


def budget_table(found: Mapping[str, Any], budget: float, count: str) -> str:
    """Markdown, a line a contender, test images last; "" where no row has that budget and count."""
    groups = grouped(found["rows"], budget, count)
    if not groups:
        return ""
    test = found["test"].get(count)
    own = statistics.mean(distances(groups["ours"], count)) if "ours" in groups else None
    lines = [_cells(name, rows, count, own) for name, rows in groups.items()]
    if test:
        taken, copies = (percent([test[name]]) for name in ("class_accuracy", "copy_rate"))
        line = {"contender": TEST, "Fréchet distance": format_number(test["frechet_distance"]), "class accuracy": taken}
        line |= {"FD / FD(test)": "1", "copies": copies}
        lines.append([line.get(column, "") for column in _COLUMNS])
    others = [name for name, rows in groups.items() if any(_earlier(found, row, count) for row in rows)]
    if not others:
        return table(_COLUMNS, lines)
    apart = f"{', '.join(others)}: by an earlier training of the classifier, with whose test images they are compared."
    return f"{table(_COLUMNS, lines)}\n\n{apart}"


def _cells(name: str, rows: Sequence[Row], count: str, own: float | None) -> list[str]:
    scores = [row["scores"][count] for row in rows]
    reached = distances(rows, count)
    cost = [ALL * row["sample_seconds"] / row["sampled"] for row in rows]
    told = {row["sampled"] for row in rows} == {ALL}
    return [
        name,
        ", ".join(str(row["seed"]) for row in rows),
        f"{statistics.mean(row['images_seen'] for row in rows):,.0f}",
        plus_minus([row["images_per_second"] for row in rows]),
        f"{100 * statistics.mean(row['train_seconds'] / row['budget'] for row in rows):.0f} %",
        plus_minus(reached),
        format_number(max(reached)),
        plus_minus([one["ratio_to_test"] for one in scores if one["ratio_to_test"] is not None]),
        format_number(statistics.mean(reached) / own) if own else "–",
        percent([one["class_accuracy"] for one in scores]),
        percent([one["copy_rate"] for one in scores]),
        str(rows[0]["evaluations"]),
        f"{'' if told else 'about '}{statistics.mean(cost):,.0f} s",
    ]


def plus_minus(values: Sequence[float]) -> str:
    """The mean, and the standard deviation of several."""
    if not values:
        return "–"
    deviation = f" ± {format_number(statistics.stdev(values), 2)}" if len(values) > 1 else ""
    return format_number(statistics.mean(values)) + deviation


def percent(values: Sequence[float | None]) -> str:
    """The mean of the shares that are there."""
    there = [value for value in values if value is not None]
    return f"{100 * statistics.mean(there):.1f} %" if there else "–"


def against_chapter(found: Mapping[str, Any], budget: float, count: str) -> str:
    """A sentence on the chapter's BasicUNet beside ours; "" without both."""
    groups = grouped(found["rows"], budget, count)
    if "ours" not in groups or CHAPTER not in groups:
        return ""
    ours, chapter = (statistics.mean(distances(groups[name], count)) for name in ("ours", CHAPTER))
    ratio = format_number(chapter / ours)
    return f"The chapter's BasicUNet is {ratio} times as far from the data as ours after {budget:g} s."


def settings_table(found: Mapping[str, Any]) -> str:
    """Markdown: what each contender is; ours is another network, and guided otherwise, by the time there is."""
    told: dict[tuple[str, ...], set[float]] = {}
    for row in found["rows"]:
        versions = ", ".join(map(" ".join, row["versions"].items()))
        line = row["contender"], f"{row['parameters']:,}", versions, row["settings"]
        told.setdefault(line, set()).add(row["budget"])
    lines = [[line[0], ", ".join(f"{one:g} s" for one in sorted(times)), *line[1:]] for line, times in told.items()]
    return table(("contender", "trained", "parameters", "versions", "settings"), lines)


def page(found: Mapping[str, Any], plot: str) -> str:
    """The whole page; plot: the figure's file name."""
    parts = [
        f"# How good after how long, on {found['data']}?\n\n`python benchmarks/time_to_quality.py --data "
        f"{found['data']}` on {in_words(found['machine'])}. The clock runs from the start of the training process, "
        "imports and all, to its last checkpoint; sampling is not on it. Peers train as their own small examples do, "
        "from images in memory instead of their loaders; what was changed in their favour is said in the last table. "
        "Means over training seeds ± their standard deviation. Distances are in the features of a classifier of the "
        "data ([evaluation](../evaluation.md)) and depend on the number of samples: compare within a table.\n\n"
        f"![Fréchet distance against seconds]({plot})"
    ]
    for count in counts(found):
        for budget in budgets(found):
            if rows := budget_table(found, budget, count):
                title = f"## {budget:g} s of training, {int(count):,} samples"
                parts += [title, rows, against_chapter(found, budget, count)]
    return "\n\n".join(part for part in (*parts, "## The contenders", settings_table(found)) if part) + "\n"


def drawing(found: Mapping[str, Any]) -> Any:
    """Mean distances against seconds at the fewest samples, which all contenders have; both axes logarithmic."""
    from fromnoise.figures import style as look
    from fromnoise.figures.curves import lines

    count = counts(found)[0]
    series: dict[str, list[tuple[float, float]]] = {}
    for budget in budgets(found):
        for name, rows in grouped(found["rows"], budget, count).items():
            series.setdefault(name, []).append((budget, statistics.mean(distances(rows, count))))
    drawn = {name: tuple(zip(*points, strict=True)) for name, points in series.items()}
    label = f"Fréchet distance, {int(count):,} samples"
    figure = lines(drawn, "seconds from start to checkpoint", label, "How good after how long", log_x=True, log_y=True)
    (axes,) = figure.axes
    if test := found["test"].get(count):
        axes.axhline(test["frechet_distance"], color=look.QUIET, linestyle="--", linewidth=1.1)
        axes.annotate(TEST, (1.01, test["frechet_distance"]), xycoords=("axes fraction", "data"), va="center",
                      fontsize=look.SMALL, color=look.QUIET)  # fmt: skip
    figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.14)
    return look.settled(figure)
