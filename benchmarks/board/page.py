"""LEADERBOARD.md from the entries."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from board import rules
from board.entry import SCORES, SHARES, Entry
from common import in_words, short, table
from time_to_quality_page import ALL, TEST, percent, plus_minus

from fromnoise.evaluation.protocol import VERSION
from fromnoise.evaluation.summary import format_number

FOLDER = "leaderboard"
_COLUMNS = (
    *("budget", "place", "entry", "clock", "n", "images seen", "training", f"sampling {ALL:,}", "evaluations"),
    *("Fréchet distance", "worst", "FD / FD(test)", "class accuracy", "recall", "copies", "p", "remarks"),
)
_DOUBTS = ("about", "doubt", "what the entries show", "state")
_RULES = f"""\
# Leaderboard: how near to the data after so many seconds

Image generators trained from nothing, on one clock, by one score. `python benchmarks/leaderboard.py page` writes this
page from the entries in [{FOLDER}/]({FOLDER}/), one JSON file each.

## Rules

- **Clock.** The budget is wall time from the start of the training process, imports and all, to the end of training on
  a machine that does nothing else. Sampling is timed apart. `measured`: the board's commands held the clock;
  `reported`: whoever made the samples did, and such an entry holds no place until somebody has measured it.
- **Score.** The mean Fréchet distance (FD) over the seeds, of exactly as many samples as the table says, in the
  features of a classifier of the data, by version {VERSION} of the [protocol](../docs/evaluation.md). Compare within a
  table.
- **Hardware.** The GPU's name, or the number of cores and their widest instructions. The speed of large matrix
  products, measured before and after the runs, must be within {100 * rules.YARDSTICK:.0f} % for a rerun or a first
  place to count, as far as both entries state it. An entry with a measured clock holds no place unless it states the
  machine, whose class is its hardware.
- **Seeds.** At least {rules.SEEDS}: 0, 1, 2 and on. Nobody picks them. Reruns take the next ones.
- **First place.** A lower mean than the first's and p < {rules.ALPHA} by Welch's one-sided t-test, {rules.SEEDS} seeds
  or more on each side, with one budget in one table. (Permutations of three against three have no p below 0.05.) Where
  the two were scored by classifiers with unlike weights, the mean must be lower by
  {100 * rules.OTHER_WEIGHTS:.0f} % as well: two such classifiers put the same test images 4 % apart. The earlier entry
  stays first until then, of two of one day the lower; those without a date were converted from results of before the
  board. p in a row: that the first's mean is lower by chance.
- **Copies.** Samples that copy training images, or test images, by more than {100 * rules.COPIES:.0f} % and
  {rules.TIMES_TEST} times the rate of test images, hold no place; nor does an entry that does not state its copies.
- **Doubts.** A reason not to trust an entry is an entry. One with {rules.SEEDS} seeds or more that are significantly
  farther from the data on the same hardware, or copy more than is allowed, takes the place away, if they ran the
  entry's own commands and code under a measured clock and kept to the budget; one in words stands here until it is
  answered. `reproduced`: a rerun by the same conditions that is not farther and does not copy; any other is a `rerun`.

## To enter, to check, to doubt

    python benchmarks/leaderboard.py enter --name NAME --data mnist --budget 60s --code ADDRESS --commit HASH \\
        --command "python my_train.py --seconds {{seconds}} --seed {{seed}} --num {{num}} --out {{samples}}"
    python benchmarks/leaderboard.py check ENTRY --samples seed-0.npz seed-1.npz seed-2.npz    # the scores
    python benchmarks/leaderboard.py check ENTRY --rerun                 # runs the entry's command: read it first
    python benchmarks/leaderboard.py doubt ENTRY --name NAME --says "..."

`{{samples}}` is the .npz to write: `images`, uint8 (N, H, W, C), and `labels` where the network was conditioned on
classes. `{{train}}` is an .npz of the training images, for those who want these instead of a loader of their own, and
`{{folder}}` a folder for each seed. A line `{{"stage": "trained"}}` on standard output ends the training on the board's
clock, `{{"stage": "imported"}}` is noted, and `{{"images_seen": 1, "evaluations": 7}}` says what the board cannot see.
Where sampling is a command of its own, give it as `--sample_command`:

    python benchmarks/leaderboard.py enter --name NAME --data mnist --budget 60s --code ADDRESS --commit HASH \\
        --command "fromnoise train mnist --budget {{seconds}}s --seed {{seed}} --output_dir {{folder}}/run" \\
        --sample_command "fromnoise sample {{folder}}/run --num {{num}} --out {{samples}}"

A pull request holds the entry and this page; the samples go where others can download them (`--note`)."""


def page(entries: Mapping[str, Entry]) -> str:
    """The whole page."""
    parts = [_RULES, "## Tables"]
    groups: dict[tuple[Any, ...], list[list[Entry]]] = {}
    for (*where, _, version, space, recipe), rows in rules.tables(entries.values()).items():
        groups.setdefault((*where, version, space, recipe), []).append(rows)
    for (name, fingerprint, hardware, count, version, space, recipe), budgets in groups.items():
        about = f"Data {fingerprint}, protocol {version}, features {space} {recipe}."
        parts += [f"### {name}, {hardware}, {count:,} samples", about, _table(budgets, str(count), entries)]
    parts += ["## Doubts and failed results", _doubts(entries), "## Machines", _machines(entries.values())]
    return "\n\n".join(parts) + "\n"


def link(entry: Entry) -> str:
    """Its name, linked to its file."""
    return f"[{entry['name']}]({FOLDER}/{entry.id}.json)"


def _table(budgets: list[list[Entry]], count: str, everything: Mapping[str, Entry]) -> str:
    """The rows of each budget, and test images last."""
    lines = [_cells(one, count, everything) for rows in budgets for one in rules.standings(rows, count, everything)]
    test = budgets[0][0]["test"].get(count)
    if test:
        cells = {"entry": TEST, "Fréchet distance": format_number(test["frechet_distance"]), "FD / FD(test)": "1"}
        shares = {"class accuracy": "class_accuracy", "recall": "recall", "copies": "copy_rate"}
        cells |= {column: percent([test.get(score)]) for column, score in shares.items()}
        lines.append([cells.get(column, "") for column in _COLUMNS])
    return table(_COLUMNS, lines)


def _cells(row: rules.Standing, count: str, everything: Mapping[str, Entry]) -> list[str]:
    entry, runs = row.entry, row.entry.runs
    distances = entry.values(count)
    return [
        f"{entry['budget']:g} s",
        "1" if row.first else "",
        link(entry),
        entry["clock"],
        str(len(runs)),
        _mean([run["images_seen"] for run in runs]),
        f"{max(run['train_seconds'] for run in runs):.1f} s",
        _sampling(entry),
        _mean([run["evaluations"] for run in runs]),
        plus_minus(distances),
        format_number(max(distances)),
        plus_minus(entry.values(count, "ratio_to_test")),
        *(percent(entry.values(count, score)) for score in ("class_accuracy", "recall", "copy_rate")),
        "" if row.first or row.p is None else _chance(row.p),
        "; ".join(filter(None, [row.remark, *_others(entry, everything)])),
    ]


def _others(entry: Entry, everything: Mapping[str, Entry]) -> list[str]:
    """Links to the doubts and reruns that are about an entry."""
    about = [one for one in everything.values() if one["about"] == entry.id]
    return [f"{_said(one, entry)}: {link(one)}" for one in about]


def _said(other: Entry, entry: Entry) -> str:
    if other["kind"] == "doubt":
        return "doubt"
    return "reproduced" if rules.reproduces(other, entry) else "rerun"


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):,.0f}" if known else "–"


def _sampling(entry: Entry) -> str:
    if any(run["sample_seconds"] is None for run in entry.runs):
        return "on the clock" if entry["clock"] == "measured" else "–"
    cost = statistics.mean(ALL * run["sample_seconds"] / run["sampled"] for run in entry.runs)
    return f"{'' if {run['sampled'] for run in entry.runs} == {ALL} else 'about '}{cost:,.0f} s"


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else format_number(p, 2)


def _doubts(entries: Mapping[str, Entry]) -> str:
    lines = [
        [_where(entries[one["about"]]), f"{link(one)}: {one['claim']}", _shown(one, entries), _state(one, entries)]
        for one in entries.values()
        if one["kind"] == "doubt"
    ]
    late = [one for one in entries.values() if one["kind"] == "result" and rules.over(one)]
    for one in late:
        seeds = ", ".join(str(run["seed"]) for run in one.runs if run["train_seconds"] > one["budget"])
        words = f"seed {seeds} trained for longer than the budget of {one['budget']:g} s"
        lines.append([_where(one), words, f"longest: {max(run['train_seconds'] for run in one.runs):g} s", "no place"])
    return table(_DOUBTS, sorted(lines)) if lines else "None yet."


def _where(entry: Entry) -> str:
    return f"{link(entry)}, {entry['budget']:g} s, {entry['hardware']}"


def _shown(doubt: Entry, entries: Mapping[str, Entry]) -> str:
    """The doubt's evidence and its own runs beside the entry, at each number of samples that both have."""
    entry, score = entries[doubt["about"]], doubt.content.get("score") or SCORES[0]
    others = [entries[name] for name in doubt["evidence"]] + [doubt] * doubt.measured
    said = []
    for count in entry.counts:
        rows = [one for one in others if count in one.counts]
        if rows or not others:
            figures = [f"{one['name']} {_figure(score, one, count)} (n = {len(one.runs)})" for one in (*rows, entry)]
            said.append(f"{score.replace('_', ' ')} of {int(count):,} samples: {', '.join(figures)}")
    return "; ".join(said)


def _figure(score: str, entry: Entry, count: str) -> str:
    values = entry.values(count, score)
    return percent(values) if score in SHARES else plus_minus(values)


def _state(doubt: Entry, entries: Mapping[str, Entry]) -> str:
    if rules.overturns(doubt, entries[doubt["about"]]):
        return "place taken away"
    return f"answered: {doubt['answer']}" if doubt["answer"] else "open"


def _machines(entries: Iterable[Entry]) -> str:
    """Which machines the entries of each class were made on, as they say."""
    known: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.measured:
            known.setdefault(entry["hardware"], {})[_machine(entry["machine"])] = None
    return table(("hardware", "machines"), [[name, "; or ".join(said)] for name, said in sorted(known.items())])


def _machine(machine: Mapping[str, Any]) -> str:
    if "processor" not in machine:
        return "not stated"
    speeds = machine["matmul_gflops"]
    said = "were not measured" if not speeds else f"before and after: {' and '.join(map(short, speeds))} GFLOP/s"
    return f"{in_words(dict(machine))}; matrix products {said}"
