"""Say why samples are noise: what was measured on a run, what is wrong with it, and what to do next."""

from __future__ import annotations

import argparse
from pathlib import Path

from fromnoise.cli.flags import (
    SAMPLE_FLAGS,
    add_device_flag,
    add_setting_flags,
    add_weights_flags,
    sample_settings,
)
from fromnoise.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """RUN, how it samples, and --json."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    parser.flag("json", nargs="?", const="-", metavar="FILE", help="also as JSON, into FILE or - for standard output")
    add_setting_flags(parser, SAMPLE_FLAGS)
    add_weights_flags(parser)
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Print the findings, faults first, and where they lie; with --json - the JSON instead."""
    settings = sample_settings(args)

    from fromnoise.common.files import write_bytes
    from fromnoise.run import Run

    patient = Run(args.run_folder, device=args.device)
    diagnosis = patient.diagnose(checkpoint=args.checkpoint, weights=args.weights, **settings)
    content = diagnosis.path.read_text(encoding="utf-8")
    if args.json == "-":
        print(content)
        return
    if args.json:
        write_bytes(Path(args.json), content.encode())
    print(diagnosis)
    print(patient.folder.report)
