"""Diagnose a run: check data, training, network and samples, and print what is wrong and what to do."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import (
    SAMPLE_FLAGS,
    add_device_flag,
    add_json_flag,
    add_setting_flags,
    add_weights_flags,
    sample_settings,
    write_json,
)
from fromnoise.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """RUN, how it samples, and --json."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    add_json_flag(parser)
    add_setting_flags(parser, SAMPLE_FLAGS)
    add_weights_flags(parser)
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Print the findings, errors first, and where the report lies; with --json alone the JSON instead."""
    settings = sample_settings(args)

    from fromnoise.run import Run

    opened = Run(args.run_folder, device=args.device)
    diagnosis = opened.diagnose(checkpoint=args.checkpoint, weights=args.weights, **settings)
    if write_json(args.json, diagnosis.to_json()):
        return
    print(diagnosis)
    print(opened.folder.report)
