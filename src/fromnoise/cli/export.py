"""Take a trained model along: a diffusers folder, compared with the model in a fresh process before it is announced."""

from __future__ import annotations

import argparse
from pathlib import Path

from fromnoise.cli.flags import add_model_flags, model_arguments
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError, choose

FORMATS = {"diffusers": "a folder for diffusers' DiffusionPipeline"}


def add_arguments(parser: Parser) -> None:
    """RUN, --to FORMAT PATH, and how it samples."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    words = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
    parser.flag("to", nargs=2, metavar=("FORMAT", "PATH"), required=True, help=words)
    parser.flag("license", "licence", metavar="ID", default="other", help="for the model card, such as apache-2.0")
    add_model_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Export, and print where it lies and how far its samples are from the model's."""
    kind, path = args.to
    choose("export format", kind, FORMATS)
    if not path:
        raise UsageError(f"--to {kind} has an empty path; name the folder or file to write")
    arguments = model_arguments(args)

    from fromnoise.run import Run

    done = Run(args.run_folder, device=args.device).export(kind, Path(path), licence=args.license, **arguments)
    print(f"{done.about}; largest difference from the model's own samples {done.difference:.1e} (black 0, white 1)")
    print(done.path)
