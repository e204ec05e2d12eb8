"""The public board: who is how near to the data after so many seconds, on which hardware, and who doubts it.

    python benchmarks/leaderboard.py enter --name N --data mnist --budget 60s --code ADDRESS --commit HASH \\
        --command "python my_train.py --seconds {seconds} --seed {seed} --num {num} --out {samples}"
    python benchmarks/leaderboard.py check ENTRY [--samples a.npz b.npz c.npz] [--rerun]
    python benchmarks/leaderboard.py doubt ENTRY --name N --says "why not to trust it"
    python benchmarks/leaderboard.py convert     # rows of docs/results/time-to-quality-*.json become entries
    python benchmarks/leaderboard.py page        # LEADERBOARD.md from the entries

The rules are those of benchmarks/LEADERBOARD.md.
"""

from __future__ import annotations

import argparse
import datetime
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from board import checking, rules
from board.clock import words_of
from board.entry import SCHEMA, SCORES, Entry, id_of, named, place_of, read_all, write
from board.kept import entries_of
from board.making import Task, entry_of, hardware_here, run_seeds, scored_runs
from board.page import FOLDER, page
from board.scorer import Scorer
from common import RESULTS

from fromnoise.cli.flags import data_settings
from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import DataError, FromNoiseError, UsageError, choose
from fromnoise.common.files import write_bytes
from fromnoise.evaluation.limits import check_num

BOARD = Path(__file__).resolve().parent / FOLDER
_DATA = {"resolution": "data.resolution"}


def enter(args: argparse.Namespace) -> None:
    """Run a command for each seed under the clock, or take samples that are there; write the entry and the page."""
    budget, settings = parse_duration(args.budget), data_settings(args, _DATA)
    about: dict[str, Any] = {
        "claim": args.claim,
        "notes": args.note,
        "code": {"address": args.code, "commit": args.commit},
    }
    data = {"source": args.data, "settings": settings}
    if args.samples:
        _check_elsewhere(args)
        _check_free(args, budget, args.hardware)
        scorer = Scorer(args.data, settings)
        parts = ("images_seen", "import_seconds", "sample_seconds", "evaluations", "parameters")
        unknown: dict[str, Any] = dict.fromkeys(parts)
        runs = [{**unknown, "seed": seed, "train_seconds": one} for seed, one in enumerate(args.train_seconds)]
        made = {**scored_runs(runs, args.samples, scorer), "machine": {}, "hardware": args.hardware}
        about |= {"clock": "reported"}
    else:
        check_command(args)
        _check_free(args, budget, hardware_here())
        scorer = Scorer(args.data, settings)
        where = args.work or Path("runs") / "leaderboard" / id_of(args.data, budget, "", args.name)
        task = Task(args.command, args.sample_command, budget, args.num, where)
        made = run_seeds(task, range(args.seeds), scorer)
        about |= {"command": args.command, "sample_command": args.sample_command}
    entry = entry_of(args.name, data, budget, made, **about)
    path = write(args.board, entry, replace=args.again)
    write_page(args.board)
    for finding in checking.by_itself(entry):
        print(finding)
    print(_place(entry, args.board))
    print(path)


def _check_free(args: argparse.Namespace, budget: float, hardware: str) -> None:
    """UsageError where the entry could not be written after hours of training, for another has its name."""
    place_of(args.board, id_of(args.data, budget, hardware, args.name), replace=args.again)


def _check_elsewhere(args: argparse.Namespace) -> None:
    """UsageError where samples that were made elsewhere lack what the board must know of them."""
    if args.command or args.sample_command:
        raise UsageError("--samples were made elsewhere, so no command is run; give either --samples or --command")
    if len(args.samples) < rules.SEEDS:
        raise UsageError(f"--samples names {len(args.samples)} files; give one a seed, at least {rules.SEEDS}")
    if len(args.train_seconds or ()) != len(args.samples) or not args.hardware:
        raise UsageError(
            f"--samples of {len(args.samples)} seeds need --hardware, and --train_seconds with as many numbers: what "
            "trained them, and for how long"
        )
    if wrong := [one for one in args.train_seconds if not 0 < one < math.inf]:
        raise UsageError(f"--train_seconds has {wrong[0]:g}; give seconds above 0, one number a seed")


def check_command(args: argparse.Namespace) -> None:
    """UsageError where the command cannot be run once a seed."""
    if not args.command:
        raise UsageError("nothing to enter was given; add --command, or --samples that were made elsewhere")
    if args.seeds < rules.SEEDS:
        raise UsageError(f"--seeds is {args.seeds}, but an entry needs at least {rules.SEEDS}; give a larger number")
    check_num(args.num)
    if args.hardware or args.train_seconds:
        raise UsageError("--hardware and --train_seconds are measured here; leave them out, or give --samples")
    words_of(args.command, "--command", ("seconds", "seed"))
    last = ("--command", args.command) if args.sample_command is None else ("--sample_command", args.sample_command)
    words_of(last[1], last[0], ("samples",))


def _place(entry: Entry, board: Path) -> str:
    """A sentence for each table that the entry is in."""
    entries, said = read_all(board), []
    for key, rows in rules.tables(entries.values()).items():
        for one in rules.standings(rows, str(key[3]), entries):
            if one.entry.id == entry.id:
                where = f"{key[0]}, {key[2]}, {key[4]:g} s, {key[3]:,} samples: FD {entry.mean(str(key[3])):.4g}"
                remark = f" ({one.remark})" if one.remark else ""
                said.append(f"{where}, {'first' if one.first else 'not first'} of {len(rows)}{remark}")
    return "\n".join(said)


def check(args: argparse.Namespace) -> None:
    """Print what an entry is found to be; DataError where something is not as it states."""
    entry = named(args.board, args.entry)
    if (args.samples or args.rerun) and not entry.measured:
        raise UsageError(f"{entry.id} is a doubt in words and has no runs; leave --samples and --rerun out")
    if args.rerun:
        checking.check_runnable(entry)
        _check_kept(args, entry)
    findings = _printed(checking.by_itself(entry))
    if args.samples or args.rerun:
        scorer = Scorer(args.data or entry["data"]["source"], entry["data"]["settings"])
        if args.samples:
            findings += _printed(checking.against_samples(entry, args.samples, scorer))
        if args.rerun:
            findings += _run_again(args, entry, scorer)
    if not args.samples and not args.rerun and entry.measured:
        print("scores and copies were not measured again: that takes --samples or --rerun")
    failed = [finding for finding in findings if finding.good is False]
    if failed:
        what = ", ".join(dict.fromkeys(finding.about for finding in failed))
        raise DataError(f"{entry.id} failed {len(failed)} of {len(findings)} checks ({what}); see above")


def _printed(findings: list[checking.Finding]) -> list[checking.Finding]:
    """Said as soon as it is found: what comes after it may take hours, or fail."""
    for finding in findings:
        print(finding, flush=True)
    return findings


def _check_kept(args: argparse.Namespace, entry: Entry) -> None:
    """UsageError where a rerun could not be kept, before hours of training."""
    if args.keep and entry.id not in read_all(args.board):
        raise UsageError(
            f"--keep writes a rerun that is about {entry.id}, which is not in {args.board}; put that entry there first"
        )


def _run_again(args: argparse.Namespace, entry: Entry, scorer: Scorer) -> list[checking.Finding]:
    """What a rerun shows; it becomes an entry where it is to be kept and there is a verdict."""
    where = args.work or Path("runs") / "leaderboard" / f"{entry.id}-again"
    print(f"running {entry['command']}", file=sys.stderr)
    number = args.seeds or len(entry.runs)
    again, found = checking.run_again(entry, number, scorer, where, read_all(args.board))
    _printed(found)
    if args.keep and found[-1].good is None:
        print(f"the rerun was not kept, as it gives no verdict: {found[-1].words}")
    elif args.keep:
        print(write(args.board, again))
        write_page(args.board)
    return found


def doubt(args: argparse.Namespace) -> None:
    """Write a doubt in words, with other entries that it points to, and the page."""
    about = named(args.board, args.entry)
    known = read_all(args.board)
    evidence = [choose("entry", name, known).id for name in args.evidence]
    choose("score", args.score, dict.fromkeys(SCORES))
    content: dict[str, Any] = {"schema": SCHEMA, "name": args.name, "kind": "doubt", "about": about.id}
    content |= {"evidence": evidence, "score": args.score, "answer": None, "claim": args.says, "notes": [], "runs": []}
    content |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    name = id_of("doubt", about["budget"], about["hardware"], args.name)
    print(write(args.board, Entry(name, content)))
    write_page(args.board)


def convert(args: argparse.Namespace) -> None:
    """Write the rows of the committed results as entries, over those of the same id, and the page."""
    for path in args.results or sorted(RESULTS.glob("time-to-quality-*.json")):
        for entry in entries_of(path):
            print(write(args.board, entry, replace=True))
    write_page(args.board)


def write_page(board: Path) -> Path:
    """LEADERBOARD.md beside the folder of entries."""
    return write_bytes(board.parent / "LEADERBOARD.md", page(read_all(board)).encode())


def parser() -> argparse.ArgumentParser:
    """The verbs and their flags."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = made.add_subparsers(dest="verb", required=True)
    _enter_flags(_verb(verbs, "enter", enter))
    one = _verb(verbs, "check", check)
    one.add_argument("entry", metavar="ENTRY", help="the id of an entry, or its file")
    one.add_argument("--samples", type=Path, nargs="+", help="the .npz of each seed, in their order: score them")
    one.add_argument("--rerun", action="store_true", help="run the entry's command with the next seeds: read it first")
    one.add_argument("--seeds", type=int, help="how many seeds of a rerun (default: as many as the entry has)")
    one.add_argument("--keep", action="store_true", help="keep a rerun with a verdict: a doubt where it fails")
    one.add_argument("--data", help="where the entry's data is here, if elsewhere")
    one.add_argument("--work", type=Path, help="folder of the rerun")
    one = _verb(verbs, "doubt", doubt)
    one.add_argument("entry", metavar="ENTRY", help="the id of the entry that is doubted")
    one.add_argument("--name", required=True)
    one.add_argument("--says", required=True, help="one sentence; the page adds the figures")
    one.add_argument("--evidence", nargs="+", default=[], metavar="ENTRY", help="other entries to be shown beside it")
    one.add_argument("--score", default=SCORES[0], help=f"what they are compared by: {', '.join(SCORES)}")
    one = _verb(verbs, "convert", convert)
    one.add_argument("results", type=Path, nargs="*", help="JSON of time_to_quality.py (default: all of docs/results)")
    _verb(verbs, "page", lambda args: print(write_page(args.board)))
    return made


def _verb(verbs: Any, name: str, does: Any) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = verbs.add_parser(name, help=(does.__doc__ or "Write LEADERBOARD.md.").split("\n")[0])
    one.add_argument(
        "--board", type=Path, default=BOARD, help="a folder named leaderboard; LEADERBOARD.md is beside it"
    )
    one.set_defaults(does=does)
    return one


def _enter_flags(one: argparse.ArgumentParser) -> None:
    one.add_argument("--name", required=True)
    one.add_argument("--code", required=True, metavar="ADDRESS", help="where the code is")
    one.add_argument("--commit", required=True, help="its commit or release")
    one.add_argument("--data", default="mnist", help="what `fromnoise train` takes")
    one.add_argument("--resolution", type=str, help="size that the images are read at")
    one.add_argument("--set", action="append", metavar="NAME=VALUE", help="another setting of the data")
    one.add_argument("--budget", required=True, help="time of a training, such as 60s")
    one.add_argument("--seeds", type=int, default=rules.SEEDS, help="how many: 0, 1, 2, ...")
    one.add_argument("--num", type=int, default=10_000, help="samples of each seed")
    one.add_argument("--command", help="trains, and samples unless --sample_command does")
    one.add_argument("--sample_command", help="samples what --command has trained")
    one.add_argument("--samples", type=Path, nargs="+", metavar="FILE.npz", help="made elsewhere, one a seed")
    one.add_argument("--train_seconds", type=float, nargs="+", help="of --samples, one a seed: clock `reported`")
    one.add_argument("--hardware", help="of --samples: a GPU's name, or such as '2 cores, avx2'")
    one.add_argument("--claim", default="", help="one sentence")
    one.add_argument("--note", action="append", default=[], help="such as where the samples can be downloaded")
    one.add_argument("--work", type=Path, help="folder of the runs and samples (default: below runs/leaderboard)")
    one.add_argument("--again", action="store_true", help="replace an entry of the same name")


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the verb says."""
    args = parser().parse_args(argv)
    args.does(args)


if __name__ == "__main__":
    try:
        main()
    except FromNoiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
