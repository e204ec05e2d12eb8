"""Diagnose a run: check data, training, network and samples, and print what is wrong and what to do."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import add_json_flag, add_model_flags, model_arguments, write_json
from fromnoise.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """RUN, how it samples, and --json."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    add_json_flag(parser)
    add_model_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Print the findings, errors first, and where the report is; with --json alone the JSON instead."""
    arguments = model_arguments(args)

    from fromnoise.run import Run

    opened = Run(args.run_folder, device=args.device)
    diagnosis = opened.diagnose(**arguments)
    if write_json(args.json, diagnosis.to_json()):
        return
    print(diagnosis)
    print(opened.folder.report)
