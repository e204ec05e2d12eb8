"""Pack a run into one .zip for somebody who has fromnoise: settings, weights, metrics, previews, card, evaluations."""

from __future__ import annotations

import argparse

from fromnoise.cli.parser import Parser
from fromnoise.common.text import in_bytes, quoted


def add_arguments(parser: Parser) -> None:
    """RUN, FILE and --resumable."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    parser.add_argument("file", metavar="FILE", nargs="?", help="the .zip (default: <name of RUN>.fromnoise.zip)")
    words = "also what training goes on with: the optimizer's state, and the averages for --weights ema:LENGTH"
    parser.flag("resumable", action="store_true", help=words)


def run(args: argparse.Namespace) -> None:
    """Pack, and print how large the file is and where it lies."""
    from fromnoise.run import Run

    path = Run(args.run_folder, device="cpu").pack(args.file, resumable=args.resumable)
    print(f"{in_bytes(path.stat().st_size)}, no path of this machine; to unpack: fromnoise unpack {quoted(path.name)}")
    print(path)
