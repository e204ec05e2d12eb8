"""A stranger's entry checked: by itself, against its samples, and by running its command again with other seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from board import rules
from board.entry import SHARES, Entry, id_of
from board.making import Task, alike, entry_of, run_seeds
from board.scorer import Scored, Scorer

from fromnoise.common.errors import FromNoiseError, UsageError
from fromnoise.evaluation.protocol import VERSION, comparable
from fromnoise.evaluation.summary import format_number

# How far scores may be off: with the same weights of the classifier, and with others. What lies between
# rules.OTHER_WEIGHTS and that may be the weights or may be not.
_SAME, _OTHER = 0.01, 0.15
# The classifier has no part in these, whatever its weights; frechet_pixels is of principal components of the pixels.
_IN_PIXELS = {**dict.fromkeys(("copy_rate", "test_copy_rate", "duplicate_rate"), 0.005), "frechet_pixels": _SAME}
_FEW_COPIES = "no more than the rule allows"


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is as it should be (None: not known), and the words for it."""

    about: str
    good: bool | None
    words: str

    def __str__(self) -> str:
        return f"{'?' if self.good is None else 'ok' if self.good else 'FAILED':7}{self.about}: {self.words}"


def by_itself(entry: Entry) -> list[Finding]:
    """What the entry alone shows: seeds, clock, date, machine, protocol, copies."""
    if not entry.measured:
        return [Finding("runs", None, "a doubt in words, which is read and answered, not computed")]
    seeds = [run["seed"] for run in entry.runs]
    enough = len(seeds) >= rules.SEEDS and not rules.picked(entry)
    late, longest = rules.over(entry), max(run["train_seconds"] for run in entry.runs)
    start = "from 0 on" if entry["about"] is None else "one after another"
    dated = not rules.undated(entry)
    wrong = [count for count, one in entry["measure"].items() if one["version"] != VERSION]
    clock = f"the longest training took {longest:g} of {entry['budget']:g} s, {entry['clock']}"
    return [
        Finding("seeds", enough, f"{', '.join(map(str, seeds))}; at least {rules.SEEDS}, {start}, none left out"),
        Finding("clock", not late, clock),
        Finding(
            "date", dated, entry["date"] or ("converted" if dated else "none, as only what was converted may have")
        ),
        _machine(entry),
        Finding("protocol", not wrong, f"version {VERSION} is today's"),
        _copies(entry),
    ]


def _machine(entry: Entry) -> Finding:
    if entry["clock"] != "measured":
        return Finding("machine", None, f"{entry['hardware']}, as whoever made the samples says")
    wrong = rules.unlike_hardware(entry)
    return Finding("machine", not wrong, wrong or f"of the class that is stated, {entry['hardware']}")


def _copies(entry: Entry) -> Finding:
    if said := next(filter(None, (rules.copying(entry, count) for count in entry.counts)), ""):
        return Finding("copies", False, said)
    if any(rules.copies_unstated(entry, count) for count in entry.counts):
        return Finding("copies", None, "not stated for every seed, so it holds no place")
    return Finding("copies", True, _FEW_COPIES)


def against_samples(entry: Entry, files: Sequence[Path], scorer: Scorer) -> list[Finding]:
    """Whether the files are those of the entry, and score what it states; UsageError for another number of files."""
    if len(files) != len(entry.runs):
        raise UsageError(
            f"{len(files)} files of samples were given, but {entry.id} has {len(entry.runs)} seeds; give one for each, "
            "in their order"
        )
    found = [scorer.score(path) for path in files]
    alike(found, files)
    count, findings = str(found[0].count), []
    for run, one, path in zip(entry.runs, found, files, strict=True):
        same = run["samples"] == one.sha256
        words = (
            "the SHA-256 that is stated"
            if same
            else f"SHA-256 {one.sha256[:16]}, stated: {run['samples'] or 'nothing'}"
        )
        findings += [Finding(path.name, same, words), _scores(entry, run, one)]
    stated = dict.fromkeys(one for run in entry.runs for one in run["scores"])
    others = [Finding(f"{int(one):,} samples", None, "not measured again") for one in stated if one != count]
    return [*findings, _test_images(entry, found[0]), _measured_copies(found), *others]


def _scores(entry: Entry, run: Mapping[str, Any], one: Scored) -> Finding:
    """The scores of one seed beside those that are stated."""
    about, count = f"scores of seed {run['seed']}", str(one.count)
    if count not in run["scores"]:
        return Finding(about, False, f"there are {one.count:,} samples, stated: {', '.join(run['scores'])}")
    return _beside(about, run["scores"][count], one.scores, entry["measure"][count], one.measure)


def _test_images(entry: Entry, one: Scored) -> Finding:
    """The scores of as many test images, by which copies are judged, beside those that are stated."""
    count = str(one.count)
    stated = entry["test"].get(count)
    if stated is None or count not in entry["measure"]:
        return Finding("scores of test images", None, f"none are stated of {one.count:,}")
    return _beside("scores of test images", stated, one.test or {}, entry["measure"][count], one.measure)


def _measured_copies(found: Sequence[Scored]) -> Finding:
    """The rule for what was measured here, whatever the entry states or leaves out."""
    if said := rules.too_many_copies([one.scores for one in found], found[0].test):
        return Finding("copies measured", False, said)
    if any(one.scores.get("copy_rate") is None for one in found):
        return Finding("copies measured", None, "the data has no test images to judge them by")
    return Finding("copies measured", True, _FEW_COPIES)


def _beside(
    about: str,
    stated: Mapping[str, float | None],
    found: Mapping[str, float | None],
    protocol: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> Finding:
    """Stated scores beside those found here; not known where only other weights of the classifier may explain them."""
    try:
        notes = comparable(protocol, measured)
    except FromNoiseError as error:
        return Finding(about, False, str(error))
    near, far = (rules.OTHER_WEIGHTS, _OTHER) if notes else (_SAME, _SAME)
    gaps = {name: _gap(name, value, found.get(name)) for name, value in stated.items() if value is not None}
    off = {name: gap for name, gap in gaps.items() if gap > _IN_PIXELS.get(name, near)}
    good = None if off and all(gap <= _IN_PIXELS.get(name, far) for name, gap in off.items()) else not off
    said = [f"{name} {_number(found.get(name))}, stated {_number(stated[name])}" for name in off]
    if good is None:
        said.append(f"more than {100 * near:.0f} % off, which other weights of the classifier may explain or not")
    fine = f"FD {_number(found.get('frechet_distance'))}, all within {100 * near:.0f} %"
    return Finding(about, good, "; ".join([*(said or [fine]), *notes]))


def _gap(name: str, stated: float, found: float | None) -> float:
    """By how much a score is off: shares in themselves, distances beside what is stated."""
    if found is None:
        return math.inf
    gap = abs(found - stated)
    return gap if name in SHARES or not gap else gap / stated if stated else math.inf


def _number(value: float | None) -> str:
    return "not measured" if value is None else format_number(value)


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


def run_again(
    entry: Entry, number: int, scorer: Scorer, folder: Path, known: Mapping[str, Entry]
) -> tuple[Entry, list[Finding]]:
    """Run the entry's command with the next `number` seeds; (the rerun as an entry, what it shows, the verdict last).

    Where it is not reproduced by the rule, or its command makes copies, the rerun is a doubt, else a result that is
    about the entry. known: the entries of the board, whose reruns have had seeds and names before. UsageError, before
    anything is trained, where this board measures by another protocol than the entry's.
    """
    count = entry.counts[-1]
    comparable(entry["measure"][count], scorer.protocol(int(count)))
    reruns = [one for one in known.values() if one["about"] == entry.id]
    first = max(run["seed"] for one in (entry, *reruns) for run in one.runs) + 1
    task = Task(entry["command"], entry["sample_command"], entry["budget"], int(count), folder)
    made = run_seeds(task, range(first, first + number), scorer)
    again = _entry(entry, made, known, kind="result", claim="")
    verdict = _verdict(entry, again, count)
    if verdict.good is False:
        claim = f"A rerun speaks against it: {verdict.words}."
        again = _entry(entry, made, known, kind="doubt", claim=claim)
    return again, [*map(_of_rerun, by_itself(again)), verdict]


def _entry(entry: Entry, made: Mapping[str, Any], known: Mapping[str, Entry], **more: Any) -> Entry:
    """The rerun under the first name that is free."""
    name, number = f"{entry['name']} again", 2
    while id_of(entry["data"]["source"], entry["budget"], made["hardware"], name) in known:
        name, number = f"{entry['name']} again {number}", number + 1
    kept = {part: entry[part] for part in ("code", "command", "sample_command")}
    return entry_of(name, entry["data"], entry["budget"], made, about=entry.id, **kept, **more)


def _of_rerun(one: Finding) -> Finding:
    """What a rerun shows of itself says nothing against the entry, but that the command makes copies does."""
    good = None if one.good is False and one.about != "copies" else one.good
    return replace(one, about=f"rerun's {one.about}", good=good)


def _verdict(entry: Entry, again: Entry, count: str) -> Finding:
    """Whether the rerun makes no copies and lies within the spread of the entry, by the rules; None: cannot tell."""
    if why := _incomparable(entry, again, count):
        return Finding("rerun", None, why)
    p = rules.p_lower(entry.values(count), again.values(count))
    two = [f"{format_number(one.mean(count))} (n = {len(one.runs)})" for one in (again, entry)]
    words = f"FD {two[0]} beside {two[1]}, p that the entry is lower: {'–' if p is None else format_number(p, 2)}"
    if p is None or min(len(entry.runs), len(again.runs)) < rules.SEEDS:
        return Finding("rerun", None, f"{words}; a verdict takes {rules.SEEDS} seeds on each side")
    if said := rules.copies_again(again, entry):
        return Finding("rerun", False, f"{said}, more than the rule allows; {words}")
    return Finding("rerun", not rules.beats(entry, again, count), words)


def _incomparable(entry: Entry, again: Entry, count: str) -> str:
    """Why a rerun gives no verdict, "" where it may give one."""
    if entry["hardware"] != again["hardware"]:
        return f"this one is {again['hardware']}, the entry's {entry['hardware']}: seconds are not the same on both"
    if not rules.like_machines(entry["machine"], again["machine"]):
        speeds = [one["machine"]["matmul_gflops"] for one in (again, entry)]
        return f"matrix products at {speeds[0]} GFLOP/s here and {speeds[1]} there, before and after: too unlike"
    if count not in again.counts:
        return f"it has {', '.join(again.counts)} samples instead of {count}"
    late = rules.over(again)
    return f"it was over the clock by {late:.1f} s, which is another training" if late else ""
