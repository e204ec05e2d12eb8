"""A stranger's entry checked: by itself, against its samples, and by running its command again with other seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from board import rules
from board.entry import Entry
from board.making import Task, alike, entry_of, run_seeds
from board.scorer import Scored, Scorer

from fromnoise.common.errors import FromNoiseError, UsageError
from fromnoise.evaluation.protocol import VERSION, comparable
from fromnoise.evaluation.summary import format_number

_SHARES = ("precision", "recall", "class_accuracy", "copy_rate", "test_copy_rate", "duplicate_rate")
# How far scores may be off: with the same weights of the classifier, and with others, which put test images 4 % apart.
_SAME, _OTHER = 0.01, 0.15


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is as it should be (None: not known), and the words for it."""

    about: str
    good: bool | None
    words: str

    def __str__(self) -> str:
        return f"{'?' if self.good is None else 'ok' if self.good else 'FAILED':7}{self.about}: {self.words}"


def by_itself(entry: Entry) -> list[Finding]:
    """What the entry alone shows: seeds, clock, protocol, copies."""
    if not entry.measured:
        return [Finding("runs", None, "a doubt in words, which is read and answered, not computed")]
    seeds = [run["seed"] for run in entry.runs]
    enough = len(seeds) >= rules.SEEDS and not rules.picked(entry)
    late, longest = rules.over(entry), max(run["train_seconds"] for run in entry.runs)
    copies = next(filter(None, (rules.copying(entry, count) for count in entry.counts)), "")
    wrong = [count for count, one in entry["measure"].items() if one["version"] != VERSION]
    clock = f"the longest training took {longest:g} of {entry['budget']:g} s, {entry['clock']}"
    return [
        Finding("seeds", enough, f"{', '.join(map(str, seeds))}; at least {rules.SEEDS}, from 0 on, none left out"),
        Finding("clock", not late, clock),
        Finding("protocol", not wrong, f"version {VERSION} is today's"),
        Finding("copies", not copies, copies or "no more than the rule allows"),
    ]


def against_samples(entry: Entry, files: Sequence[Path], scorer: Scorer) -> list[Finding]:
    """Whether the files are those of the entry, and score what it states; UsageError for another number of files."""
    if len(files) != len(entry.runs):
        raise UsageError(
            f"{len(files)} files of samples were given, but {entry.id} has {len(entry.runs)} seeds; give one for each, "
            "in their order"
        )
    found = [scorer.score(path) for path in files]
    alike(found, files)
    findings = []
    for run, one, path in zip(entry.runs, found, files, strict=True):
        same = run["samples"] == one.sha256
        words = (
            "the SHA-256 that is stated"
            if same
            else f"SHA-256 {one.sha256[:16]}, stated: {run['samples'] or 'nothing'}"
        )
        findings += [Finding(path.name, same, words), *_scores(entry, run, one)]
    return findings


def _scores(entry: Entry, run: Any, one: Scored) -> Iterable[Finding]:
    """The scores of one seed beside those that are stated."""
    about, count = f"scores of seed {run['seed']}", str(one.count)
    if count not in run["scores"]:
        return [Finding(about, False, f"there are {one.count:,} samples, stated: {', '.join(run['scores'])}")]
    try:
        notes = comparable(entry["measure"][count], one.measure)
    except FromNoiseError as error:
        return [Finding(about, False, str(error))]
    allowed = _OTHER if notes else _SAME
    off = [
        f"{name} {format_number(one.scores[name])}, stated {format_number(stated)}"
        for name, stated in run["scores"][count].items()
        if stated is not None and not _near(name, stated, one.scores.get(name), allowed)
    ]
    fine = f"FD {format_number(one.scores['frechet_distance'])}, all within {100 * allowed:.0f} %"
    return [Finding(about, not off, "; ".join([*(off or [fine]), *notes]))]


def _near(name: str, stated: float, found: float | None, allowed: float) -> bool:
    if found is None:
        return False
    return abs(found - stated) <= allowed * (1.0 if name in _SHARES else abs(stated))


def check_runnable(entry: Entry) -> None:
    """UsageError for an entry that states no command, or one that was run otherwise than by `enter`."""
    command, last = entry["command"], entry["sample_command"] or entry["command"]
    if command is None:
        raise UsageError(f"{entry.id} states no command to run again; check its --samples instead of --rerun")
    if "{seed}" not in command or "{samples}" not in last:
        raise UsageError(
            f"{entry.id} was made by a command without {{seed}} and {{samples}}, so --rerun cannot run it; run it "
            f"yourself: {command}"
        )


def run_again(entry: Entry, number: int, scorer: Scorer, folder: Path) -> tuple[Entry, list[Finding]]:
    """Run the entry's command with the next `number` seeds; (the rerun as an entry, what it shows).

    Where it is not reproduced by the rule, the rerun is a doubt, else a result that is about the entry.
    """
    count = entry.counts[-1]
    first = max(run["seed"] for run in entry.runs) + 1
    task = Task(entry["command"], entry["sample_command"], entry["budget"], int(count), folder)
    made = run_seeds(task, range(first, first + number), scorer)
    again = _entry(entry, made, "result", "")
    findings = [*by_itself(again), _same_table(entry, again, count)]
    verdict = _verdict(entry, again, count) if findings[-1].good else None
    if verdict is None:
        return again, findings
    if not verdict.good:
        again = _entry(entry, made, "doubt", f"A rerun did not reproduce it: {verdict.words}.")
    return again, [*findings, verdict]


def _entry(entry: Entry, made: dict[str, Any], kind: str, claim: str) -> Entry:
    kept = {name: entry[name] for name in ("code", "command", "sample_command")}
    more = {**kept, "kind": kind, "about": entry.id, "claim": claim}
    return entry_of(f"{entry['name']} again", entry["data"], entry["budget"], made, **more)


def _same_table(entry: Entry, again: Entry, count: str) -> Finding:
    """Whether the two can be compared: protocol, data, machine."""
    if entry["hardware"] != again["hardware"]:
        words = f"this one is {again['hardware']}, the entry's {entry['hardware']}: seconds are not the same on both"
        return Finding("machine", None, words)
    if not rules.like_machines(entry["machine"], again["machine"]):
        speeds = [one["machine"]["matmul_gflops"] for one in (again, entry)]
        words = f"matrix products at {speeds[0]} GFLOP/s here and {speeds[1]} there, before and after: too unlike"
        return Finding("machine", None, words)
    if count not in again.counts:
        return Finding("protocol", False, f"the rerun has {', '.join(again.counts)} samples instead of {count}")
    comparable(entry["measure"][count], again["measure"][count])
    return Finding("machine", True, f"of the same class, {entry['hardware']}")


def _verdict(entry: Entry, again: Entry, count: str) -> Finding:
    """Whether the rerun lies within the spread of the entry, by the rule of the board."""
    p = rules.p_lower(entry.values(count), again.values(count))
    two = [f"{format_number(one.mean(count))} (n = {len(one.runs)})" for one in (again, entry)]
    words = f"FD {two[0]} beside {two[1]}, p that the entry is lower: {'–' if p is None else format_number(p, 2)}"
    if p is None or min(len(entry.runs), len(again.runs)) < rules.SEEDS:
        return Finding("rerun", None, f"{words}; a verdict takes {rules.SEEDS} seeds on each side")
    return Finding("rerun", not rules.beats(entry, again, count), words)
