"""The rules of the board: what may be compared, which row is first, and what takes a row off the ranks."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from board.entry import CONVERTED, Entry, hardware_class

from fromnoise.common.errors import UsageError

SEEDS = 3  # at least
ALPHA = 0.05  # one-sided
# Two trainings of the dataset's classifier put the same 500 test images 4 % apart (2.79 and 2.90 in
# docs/results/time-to-quality-mnist*.json): closer than this, figures of unlike classifiers are alike.
OTHER_WEIGHTS = 0.05
YARDSTICK = 0.25  # machines of one class may differ so much in their matrix products
COPIES, TIMES_TEST = 0.02, 4  # share of copies that is allowed, or so many times that of test images


@dataclass(frozen=True)
class Standing:
    """An entry in its table: first or not, and why it has no rank; p: that the first is lower than this by chance."""

    entry: Entry
    first: bool
    p: float | None
    remark: str


def p_lower(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """The one-sided p of Welch's t-test that the mean of `ours` is lower; None for fewer than two on a side.

    A test by permutations could not say less than 1/20 of three against three, whatever the distances.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    if not statistics.pstdev(ours) and not statistics.pstdev(theirs):
        return float(statistics.mean(ours) >= statistics.mean(theirs))  # Welch's t has no value
    try:
        from scipy.stats import ttest_ind
    except ImportError as error:
        raise UsageError("the board needs scipy, which is not installed; run pip install scipy") from error
    return float(ttest_ind(ours, theirs, equal_var=False, alternative="less").pvalue)


def beats(ours: Entry, theirs: Entry, count: str) -> bool:
    """Whether `ours` is nearer to the data at `count` samples by the rule: lower mean, p below ALPHA, like machines."""
    p = p_lower(ours.values(count), theirs.values(count))
    unlike = _weights(ours, count) != _weights(theirs, count)
    margin = 1 - OTHER_WEIGHTS if unlike else 1
    alike = like_machines(ours["machine"], theirs["machine"])
    return p is not None and p < ALPHA and alike and ours.mean(count) < margin * theirs.mean(count)


def _weights(entry: Entry, count: str) -> Any:
    return entry["measure"][count]["features"]["weight_hash"]


def table_of(entry: Entry, count: str) -> tuple[Any, ...]:
    """What the entries of one table share: data, protocol, machine, number of samples, budget."""
    measure = entry["measure"][count]
    space = measure["features"]
    reference = measure["reference"]["name"], measure["reference"]["fingerprint"]
    protocol = measure["version"], space["name"], space["recipe_hash"]
    return (*reference, entry["hardware"], int(count), entry["budget"], *protocol)


def tables(entries: Iterable[Entry]) -> dict[tuple[Any, ...], list[Entry]]:
    """Results by `table_of`; reruns are no rows of their own."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        if entry["kind"] == "result" and entry["about"] is None:
            for count in entry.counts:
                found.setdefault(table_of(entry, count), []).append(entry)
    return dict(sorted(found.items(), key=lambda item: str(item[0][:3]) + f"{item[0][3]:9} {item[0][4]:12.3f}"))


def standings(rows: Sequence[Entry], count: str, everything: Mapping[str, Entry]) -> list[Standing]:
    """The rows of one table, the first first, then by their means.

    Entries come in the order of their dates, those of one day by their means: the first that may hold a place holds it
    until another `beats` it.
    """
    why = {entry.id: unranked(entry, count, everything) for entry in rows}
    holder: Entry | None = None
    for entry in sorted(rows, key=lambda one: (one["date"] or "", one.mean(count))):
        if not why[entry.id] and (holder is None or beats(entry, holder, count)):
            holder = entry
    found = []
    for entry in sorted(rows, key=lambda one: one.mean(count)):
        p: float | None = None
        remark = why[entry.id]
        if holder is not None and entry is not holder:
            p = p_lower(holder.values(count), entry.values(count))
            if not remark and entry.mean(count) < holder.mean(count):
                remark = "lower, but not by the rule"
        found.append(Standing(entry, entry is holder, p, remark))
    return sorted(found, key=lambda one: not one.first)


def unranked(entry: Entry, count: str, everything: Mapping[str, Entry]) -> str:
    """Why the entry can hold no place, "" where it can."""
    reasons = []
    if len(entry.runs) < SEEDS:
        reasons.append(f"n = {len(entry.runs)}")
    if picked(entry):
        reasons.append("picked seeds")
    if late := over(entry):
        reasons.append(f"over the clock by {late:.1f} s")
    if entry["clock"] == "reported":
        reasons.append("reported clock")
    if undated(entry):
        reasons.append("no date")
    reasons += filter(None, [unlike_hardware(entry), copying(entry, count)])
    if copies_unstated(entry, count):
        reasons.append("copies not stated")
    for one in everything.values():
        if overturns(one, entry):
            reasons.append(f"{'copies in a rerun' if copies_again(one, entry) else 'not reproduced'}: {one.id}")
    return "; ".join(reasons)


def picked(entry: Entry) -> bool:
    """Whether the seeds are others than 0, 1, 2 and on; those of a rerun begin later."""
    seeds = [run["seed"] for run in entry.runs]
    first = 0 if entry["about"] is None else min(seeds)
    return sorted(seeds) != list(range(first, first + len(seeds)))


def over(entry: Entry) -> float:
    """Seconds by which the longest training passed the budget, 0.0 for none."""
    return max(0.0, *(run["train_seconds"] - entry["budget"] for run in entry.runs))


def undated(entry: Entry) -> bool:
    """Whether a date is missing: only what was converted has none, and all others come after that."""
    return entry["date"] is None and not any(note.startswith(CONVERTED) for note in entry["notes"])


def unlike_hardware(entry: Entry) -> str:
    """Why the hardware is not known from the machine that the board's own commands noted, "" where it is."""
    if entry["clock"] != "measured":
        return ""
    if not entry["machine"].get("processor"):
        return "no machine stated"
    return "" if entry["hardware"] == hardware_class(entry["machine"]) else "hardware is not that of its machine"


def copying(entry: Entry, count: str) -> str:
    """Which of the copies that are stated are more than the rule allows, "" for none."""
    return too_many_copies([run["scores"].get(count, {}) for run in entry.runs], entry["test"].get(count))


def too_many_copies(scores: Iterable[Mapping[str, Any]], test: Mapping[str, Any] | None) -> str:
    """Which copies among the scores of the seeds are more than those of test images allow, "" for none."""
    seeds, rate = list(scores), (test or {}).get("copy_rate") or 0.0
    allowed = max(COPIES, TIMES_TEST * rate)
    for score, of in (("copy_rate", "training"), ("test_copy_rate", "test")):
        if (worst := max((one.get(score) or 0.0 for one in seeds), default=0.0)) > allowed:
            return f"{100 * worst:.1f} % copies of {of} images"
    return ""


def copies_unstated(entry: Entry, count: str) -> bool:
    """Whether a seed does not state its copies; those of test images were not counted before there was a board."""
    needed = ("copy_rate",) if entry["date"] is None else ("copy_rate", "test_copy_rate")
    return any(run["scores"].get(count, {}).get(score) is None for run in entry.runs for score in needed)


def overturns(doubt: Entry, entry: Entry) -> bool:
    """Whether runs that count against the entry make copies, or are a doubt's and significantly farther from the data.

    Copies need no doubt: what a command makes is shown by any rerun of it, whatever was made of that.
    """
    if copies_again(doubt, entry):
        return True
    return doubt["kind"] == "doubt" and any(beats(entry, doubt, count) for count in _counting(doubt, entry))


def copies_again(again: Entry, entry: Entry) -> str:
    """Which copies a rerun whose runs count makes more of than the rule allows, "" for none."""
    return next(filter(None, (copying(again, count) for count in _counting(again, entry))), "")


def reproduces(again: Entry, entry: Entry) -> bool:
    """Whether a rerun whose runs count is not significantly farther from the data than the entry."""
    counts = _counting(again, entry) if again["kind"] == "result" else []
    return bool(counts) and not any(copying(again, n) or beats(entry, again, n) for n in counts)


def _counting(again: Entry, entry: Entry) -> list[str]:
    """The numbers of samples at which a rerun counts for or against the entry.

    There are none where it is another training, or one that would hold no place itself: anybody can train badly.
    """
    fair = again["about"] == entry.id and min(len(again.runs), len(entry.runs)) >= SEEDS
    if not fair or again["clock"] != "measured" or over(again) or picked(again) or unlike_hardware(again):
        return []
    same = ("command", "sample_command", "code", "data")
    if entry["command"] is None or any(again[name] != entry[name] for name in same):
        return []
    if not like_machines(entry["machine"], again["machine"]):
        return []
    # By what name the data was read may differ, its fingerprint may not.
    return [n for n in again.counts if n in entry.counts and table_of(again, n)[1:] == table_of(entry, n)[1:]]


def like_machines(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two machines of a class are about as fast, as far as both have been measured."""
    speeds = [statistics.mean(one["matmul_gflops"]) for one in (ours, theirs) if one.get("matmul_gflops")]
    return len(speeds) < 2 or max(speeds) <= (1 + YARDSTICK) * min(speeds)
