"""Train a model from scratch on images; the same command again continues where it stopped."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fromnoise.cli.few_steps import check_place, few_steps_changes, then_distil
from fromnoise.cli.flags import (
    THREAD_FLAGS,
    TRAIN_FLAGS,
    add_device_flag,
    add_json_flag,
    add_setting_flags,
    chosen_settings,
    write_json,
)
from fromnoise.cli.launch import command_start, launch, wants_processes
from fromnoise.cli.parser import Parser
from fromnoise.common.durations import format_duration, parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.text import quoted
from fromnoise.recipes.recipes import RECIPES, images_needed

if TYPE_CHECKING:
    from fromnoise.cli.progress import TrainProgress
    from fromnoise.run import Run

SomeRun = TypeVar("SomeRun", bound="Run")


def add_arguments(parser: Parser) -> None:
    """DATA, --recipe and the headline flags."""
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="digits, mnist, ... (`fromnoise data list`), a folder, .zip, .npz, IDX, hf:owner/name",
    )
    parser.flag("recipe", metavar="NAME", help=f"{', '.join(RECIPES)} (default: default)")
    parser.flag("output_dir", "outdir", metavar="DIR", help="the run folder (default: runs/<data>-<recipe>-s<seed>)")
    parser.flag("resume", "resume_from_checkpoint", metavar="RUN", help="go on with this run, with its stored settings")
    parser.flag(
        "init",
        metavar="RUN",
        help="start a new run from the averaged weights of this run or checkpoint, or of a folder for diffusers",
    )
    add_setting_flags(parser, TRAIN_FLAGS)
    add_device_flag(parser)
    parser.flag(
        "num_processes",
        type=int,
        metavar="N",
        help="train in N processes on this machine, as torchrun starts them; the weights are those of one",
    )
    parser.flag(
        "few_steps",
        action="store_true",
        help="then distil the run, as `fromnoise distill` does, into RUN-distilled; a quarter of --budget is for that",
    )
    parser.flag("max_time", metavar="TIME", help="stop after this long with work left (exit 75), such as 1.5h")
    parser.flag(
        "dry_run", action="store_true", help="say what is in DATA and what the training takes, measured; write nothing"
    )
    add_json_flag(parser)
    parser.flag("studio", action="store_true", help="open the studio beside the run: a page in the browser to watch it")
    parser.flag("config", metavar="FILE", help="a TOML file with tables such as [train] and [net]")
    parser.flag(
        "set", action="append", metavar="NAME=VALUE", help="any other setting, such as net.width=48; repeatable"
    )


def run(args: argparse.Namespace, waited: float = 0.0) -> None:
    """Create or open the run, train it, and print its path. waited: seconds that a time budget does not count."""
    changes = chosen_settings(args, TRAIN_FLAGS | THREAD_FLAGS)
    max_time = parse_duration(args.max_time) if args.max_time else None
    if args.few_steps:
        changes |= few_steps_changes(args.num_processes, changes, args.config)
    if args.num_processes is not None and wants_processes(args.num_processes):
        raise SystemExit(launch(args.num_processes, args.argv))
    if args.dry_run and args.studio:
        raise UsageError("--dry_run trains nothing, so there is nothing to watch; leave --studio or --dry_run out")
    if args.dry_run:
        return _dry_run(args, changes, command_start() + waited)
    if args.json:
        raise UsageError("--json is for --dry_run; give both, or read config.json and metrics.jsonl of the run")

    from fromnoise.cli.progress import TrainProgress
    from fromnoise.cli.studio import check_installed, open_beside
    from fromnoise.evaluation.limits import few_note
    from fromnoise.run import Run
    from fromnoise.run.facts import decisions
    from fromnoise.train.distributed import current

    if args.studio:
        check_installed()  # before anything is written
    training = _opened(Run, args, changes)
    if args.few_steps:
        check_place(training)
    if current().rank:
        return _follow(training, max_time)
    for note in training.data.notes:  # of how they were read now, and not when the run was begun
        print(note)
    for name, value in decisions(training):
        print(f"{name}: {value}")
    if few := few_note(training.metadata["data"]["count"]):
        print(few)
    for name, (old, new) in training.changes.items():
        print(f"changed: {name}: {new}, before {old}")
    if args.studio:
        open_beside(training.path)
    started = command_start() + waited + training.download_seconds
    with TrainProgress(training) as progress:
        for step in training.steps(started=started, max_time=max_time, say=partial(print, flush=True)):
            progress.update(step)
    _conclude(training, progress)
    if args.few_steps:
        left = None if max_time is None else max(0.0, started + max_time - time.monotonic())
        then_distil(training, command_start(), left)


def _follow(training: Run, max_time: float | None) -> None:
    """Train beside process 0, which prints what there is to say."""
    for _ in training.steps(started=command_start() + training.download_seconds, max_time=max_time):
        pass


def _opened(kind: type[SomeRun], args: argparse.Namespace, changes: dict[str, Any]) -> SomeRun:
    """The run that the flags name: a new one, the same one again, or the one to resume."""
    same = {"config_file": args.config, "settings": changes, "device": args.device, "few_steps": args.few_steps}
    if args.resume:
        if args.output_dir or args.init:
            flag = "--output_dir" if args.output_dir else "--init"
            raise UsageError(f"--resume goes on with the run in {args.resume}, so {flag} has no place; leave one out")
        return kind.resume(args.resume, data=args.data, recipe=args.recipe, **same)
    if args.data is None:
        raise UsageError("no images were named; give DATA, such as `fromnoise train digits`, or --resume RUN")
    return kind.create(
        args.data,
        recipe=args.recipe or "default",
        output_dir=args.output_dir,
        init=args.init,
        **same,
    )


def _dry_run(args: argparse.Namespace, changes: dict[str, Any], started: float) -> None:
    """Print what the training would take."""
    from fromnoise.cli.dry_run import dry_run_lines
    from fromnoise.run.preflight import DryRun
    from fromnoise.train.distributed import current

    run = _opened(DryRun, args, changes)
    found = run.preflight(started + run.download_seconds)
    if current().rank:
        return
    if not write_json(args.json, found.to_json()):
        for line in dry_run_lines(found):
            print(line)


def _conclude(training: Run, progress: TrainProgress) -> None:
    """Print how the training ended, what to do next, and where the run is."""
    lines, path = training.folder.read_metrics(), training.path
    seconds = sum_seconds(lines)
    cut = next((line for line in reversed(lines) if line.get("event") == "budget spent"), None)
    if cut and not cut["images"]:
        raise UsageError(
            f"the budget of {training.settings.train.budget} was over before an image was seen; remove {path} "
            "and give a longer one"
        )
    if progress.moved and seconds:
        print(f"trained on {progress.images:,} images in {format_duration(seconds)}")
    if progress.moved and cut:
        print(
            f"time budget reached after {cut['images']:,} of {cut['planned']:,} planned images: the machine slowed "
            "down, so the learning rate did not fall to its end"
            if cut["planned"]
            else f"time budget reached after {cut['images']:,} images, before a plan was made; give a longer budget"
        )
    needed = images_needed(training.settings.recipe, training.spec)
    if progress.moved and progress.images < needed and not training.metadata.get("init"):
        print(
            f"note: samples become legible after about {needed:,} images, and this run saw {progress.images:,}; train "
            "longer, into a new --output_dir"
        )
    word = quoted(path)
    print(f"next: fromnoise sample {word}, fromnoise show {word}, or fromnoise diagnose {word}")
    print(path)


def sum_seconds(lines: list[dict[str, float]]) -> float:
    """Training seconds at the last line of metrics.jsonl."""
    return next((line["seconds"] for line in reversed(lines) if "seconds" in line), 0.0)
