"""Make a run of a finished one that samples in 1, 2 or 4 network evaluations, with guidance built in."""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import TYPE_CHECKING

from fromnoise.cli.flags import add_model_flags, model_arguments, positive
from fromnoise.cli.launch import command_start
from fromnoise.cli.parser import Parser
from fromnoise.common.durations import format_duration, parse_duration
from fromnoise.common.errors import UsageError
from fromnoise.common.text import quoted
from fromnoise.recipes.recipes import DISTILL_BUDGET

if TYPE_CHECKING:
    from fromnoise.run import Run


def add_arguments(parser: Parser) -> None:
    """RUN, how long, where to, and how the trajectories are made."""
    parser.add_argument("run_folder", metavar="RUN", help="a finished run: a folder that `fromnoise train` made")
    parser.flag(
        "budget", metavar="TIME", help=f"the time for all of it, such as 60s or 10m (default: {DISTILL_BUDGET})"
    )
    parser.flag("output_dir", "outdir", metavar="DIR", help="the new run folder (default: RUN-distilled)")
    words = "points of trajectories to learn from, instead of a budget; needs --trajectories"
    parser.flag("num_images", type=int, metavar="N", help=words)
    parser.flag("trajectories", type=int, metavar="N", help="how many to learn from (default: a part of the budget)")
    parser.flag("max_time", metavar="TIME", help="stop after this long with work left (exit 75), such as 1.5h")
    add_model_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Distil, and print how long it took and where the new run is."""
    if args.num_images is not None:
        positive("num_images", args.num_images, most=None)  # they are seen in batches
    if args.trajectories is not None:
        positive("trajectories", args.trajectories)
    max_time = parse_duration(args.max_time) if args.max_time else None
    if args.budget:
        parse_duration(args.budget)

    from fromnoise.run import Run

    distilled = Run.distill(
        args.run_folder,
        args.output_dir,
        budget=args.budget,
        num_images=args.num_images,
        trajectories=args.trajectories,
        device=args.device,
        **model_arguments(args),
    )
    show_distilling(distilled, command_start(), max_time)


def show_distilling(distilled: Run, began: float, max_time: float | None, trained_since: float | None = None) -> None:
    """Distil, and print how long it took since `began`, what to do next, and where the run is.

    trained_since: when the training of the run that it comes from began, where this command did that too.
    """
    from fromnoise.cli.progress import TrainProgress

    with TrainProgress(distilled) as progress:
        for step in distilled.steps(started=began, max_time=max_time, say=partial(print, flush=True)):
            progress.update(step)
    newest = distilled.newest_checkpoint()
    if newest is not None and not int(newest.name):
        raise UsageError(
            f"the budget of {distilled.settings.train.budget} was over before a point was seen; remove "
            f"{distilled.path} and give a longer one"
        )
    if progress.moved:
        seconds = format_duration(time.monotonic() - began)
        print(f"distilled in {seconds}, trajectories included: {progress.images:,} points of them were seen")
    if progress.moved and trained_since is not None:
        print(f"trained and distilled in {format_duration(time.monotonic() - trained_since)}")
    word = quoted(distilled.path)
    print(f"next: fromnoise sample {word} --steps 1 (or 2, 4), or fromnoise evaluate {word} --steps 2")
    print(distilled.path)
