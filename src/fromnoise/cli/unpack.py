"""Unpack a run that `fromnoise pack` wrote: checked against its manifest, and there whole or not at all."""

from __future__ import annotations

import argparse

from fromnoise.cli.parser import Parser
from fromnoise.common.text import quoted


def add_arguments(parser: Parser) -> None:
    """FILE and --output_dir."""
    parser.add_argument("file", metavar="FILE", help="a .zip that `fromnoise pack` wrote")
    parser.flag("output_dir", "outdir", metavar="DIR", help="the run folder (default: runs/<name of FILE>)")


def run(args: argparse.Namespace) -> None:
    """Unpack, and print what can be done now and where the run lies."""
    from fromnoise.run import Run

    path = Run.unpack(args.file, args.output_dir, device="cpu").path
    print(f"next: fromnoise sample {quoted(path)}, or fromnoise show {quoted(path)}")
    print(path)
