"""The command line: one verb per file. It parses, calls what Python users call, prints, and keeps the exit codes.

Modules of verbs load when their verb is used; `--help` needs no torch.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from fromnoise.cli.parser import Parser, parse
from fromnoise.common.errors import FromNoiseError, Interrupted

VERBS = {
    "demo": "train for 100 seconds, sample and write a report",
    "train": "train a model on images, or continue a run",
    "sample": "sample images from a trained model",
    "edit": "inpaint, vary, interpolate or invert images",
    "show": "draw corruption, curves, x0 predictions, trajectories and samples, and write the report",
    "diagnose": "find out why samples are noise, with measured numbers and advice",
    "evaluate": "measure how good samples are, beside real images",
    "compare": "put runs side by side: curves, samples from the same seeds, measures",
    "chapter": "run the tutorial chapter, its numbers beside the published ones",
    "data": "list, inspect or fetch data",
    "doctor": "report what this machine can do and what is missing",
}


def build_parser() -> Parser:
    """The whole command line."""
    from fromnoise.common.version import __version__

    parser = Parser(prog="fromnoise", description="Train a diffusion or flow model from scratch and see every step.")
    parser.add_argument("--version", action="version", version=f"fromnoise {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for verb, summary in VERBS.items():
        module = importlib.import_module(f"fromnoise.cli.{verb}")
        sub = verbs.add_parser(verb, help=summary, description=module.__doc__)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`; returns the exit code."""
    try:
        args = parse(build_parser(), sys.argv[1:] if argv is None else list(argv))
        args.run(args)
        sys.stdout.flush()
        return 0
    except Interrupted as stop:
        print(f"\nfromnoise: {stop}", file=sys.stderr)
        return stop.exit_code
    except FromNoiseError as error:
        print(f"fromnoise: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nfromnoise: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
