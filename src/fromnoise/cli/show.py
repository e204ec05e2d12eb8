"""Draw a run: corruption, loss, one-step guesses, trajectory, samples, nearest training images; and its report."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import add_device_flag
from fromnoise.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """RUN."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    parser.switch("judge", "say what share of samples a classifier takes for their class (--no_judge: do not)")
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Write figures/ and report.html, and say where the report lies."""
    from fromnoise.run import Run

    print(Run(args.run_folder, device=args.device).show(with_judge=args.judge is not False))
