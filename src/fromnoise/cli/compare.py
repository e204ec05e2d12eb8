"""Compare runs: what each is, its loss, its samples from the same seeds and its evaluation, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from fromnoise.cli.flags import add_device_flag, add_json_flag, write_json
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError
from fromnoise.common.text import columns


def add_arguments(parser: Parser) -> None:
    """RUN RUN ..., --metrics, --out, --json."""
    parser.add_argument("run_folders", metavar="RUN", nargs="+", help="folders that `fromnoise train` made, at least 2")
    parser.switch("metrics", "compare what `fromnoise evaluate` measured (--no_metrics: do not)")
    parser.flag(
        "out", default="compare.html", metavar="FILE.html", help="where to write the page (default: compare.html)"
    )
    add_json_flag(parser)
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Print the tables and where the page was written."""
    if Path(args.out).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out is {args.out}, but an HTML page is written; give a name that ends in .html")

    from fromnoise.run import Run
    from fromnoise.run.compare import compare

    runs = [Run(folder, device=args.device) for folder in args.run_folders]
    found = compare(runs, Path(args.out), args.metrics is not False)
    if write_json(args.json, {**found.to_json(), "report": args.out}):
        return
    print(columns(found.facts))
    if found.measures:
        print()
        print(columns(found.measures))
    for note in found.notes:
        print(f"note: {note}")
    print(args.out)
