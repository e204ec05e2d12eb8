"""Show a run: its report, or the trajectory of chosen seeds, or samplers side by side, or all of it in a tracker."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import add_model_flags, model_arguments, parse_seeds, positive, sample_settings
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """RUN, --trajectory, --compare, and how to sample for these."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    parser.flag("trajectory", action="store_true", help="only x, x0 prediction and change of each step, drawn")
    parser.flag("compare", metavar="A,B,...", help="only these samplers side by side, from the same noise")
    words = "only report what training wrote to this tracker, without what it has"
    parser.flag("report_to", "logger", "log_with", metavar="{tensorboard,wandb,trackio}", help=words)
    parser.flag("steps", metavar="N,...", help="sampling steps: one number, or several for --compare (5,10,20)")
    parser.flag("seeds", metavar="RANGE", help="seeds of the samples, such as 0-3 or 1,5")
    parser.flag("label", "class", dest="label", metavar="CLASS", help="samples of this class only, by its name")
    add_model_flags(parser, without="steps")


def run(args: argparse.Namespace) -> None:
    """Draw the chosen view and print where it was written."""
    views = [f"--{name}" for name in ("trajectory", "compare", "report_to") if getattr(args, name)]
    if len(views) > 1:
        raise UsageError(f"{' and '.join(views)} were both given; use one of them at a time")
    counts = _counts(args.steps) if args.steps else None
    seeds = parse_seeds(args.seeds) if args.seeds else None
    view = {"label": args.label, **model_arguments(args, without="steps")}
    if args.compare and (
        given := [f"--{name}" for name in ("sampler", "churn", "eta") if getattr(args, name) is not None]
    ):
        verb, them = ("belongs", "it") if len(given) == 1 else ("belong", "them")
        raise UsageError(f"{' and '.join(given)} {verb} to one sampler, and --compare names several; leave {them} out")
    if not (args.trajectory or args.compare):
        _refuse_sampling_flags(args, bool(sample_settings(args, without="steps")))

    from fromnoise.run import Run

    shown = Run(args.run_folder, device=args.device)
    if args.trajectory:
        if counts and len(counts) > 1:
            raise UsageError(f"--steps is {args.steps}, but a trajectory has one number of steps; give one")
        view |= {"steps": counts[0]} if counts else {}
        for path in shown.trajectory(seeds or (0, 1, 2), **view):
            print(path)
    elif args.compare:
        names = [name.strip() for name in args.compare.split(",")]
        found, path = shown.compare_samplers(names, counts or (5, 10, 20), seeds=seeds or range(8), **view)
        for one in found:
            print(one)
        print(path)
    elif args.report_to:
        print(shown.report_to(args.report_to))
    else:
        print(shown.show())


def _counts(text: str) -> list[int]:
    """Numbers of steps in "20" or "5,10,20"; UsageError for anything else."""
    try:
        return [positive("steps", int(part)) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--steps is '{text}', but numbers are expected; write 20 or 5,10,20") from error


def _refuse_sampling_flags(args: argparse.Namespace, settings: bool) -> None:
    """UsageError for flags that the report does not take: it samples with the run's own settings."""
    other = args.checkpoint != "last" or args.weights != "ema"
    if settings or other or args.steps or args.seeds or args.label is not None:
        raise UsageError("sampling flags need --trajectory or --compare; add one of these, or leave the flags out")
