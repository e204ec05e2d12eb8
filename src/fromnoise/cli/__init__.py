"""The command line: one verb per file. It parses, calls what Python users call, prints, and keeps the exit codes.

Modules of verbs load when their verb is used; `--help` needs no torch.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from collections.abc import Sequence

from fromnoise.cli.advice import followable
from fromnoise.cli.flags import fix_threads
from fromnoise.cli.launch import reported_to_launcher
from fromnoise.cli.machine import here
from fromnoise.cli.output import kept_streams
from fromnoise.cli.parser import Parser, flags_by_verb, parse
from fromnoise.cli.stopping import Stopped, stopped_by_signals
from fromnoise.common.errors import FromNoiseError, Interrupted, MemoryLimitError, ProcessError, UsageError, WriteError
from fromnoise.common.memory import is_out_of_memory

VERBS = {
    "demo": "train for 100 seconds, sample and write a report",
    "train": "train a model on images, or continue a run",
    "sample": "sample images from a trained model",
    "edit": "inpaint, vary, interpolate or invert images",
    "show": "draw corruption, curves, x0 predictions, trajectories and samples, and write the report",
    "diagnose": "find out why samples are noise, with measured numbers and advice",
    "distill": "make of a trained run one that samples in 1, 2 or 4 steps",
    "evaluate": "measure how good samples are, beside real images",
    "export": "write a trained model for diffusers, ONNX or the browser, compared with the run",
    "import": "make a run of a model for diffusers, or of a state dict, compared with what it was",
    "pack": "write a run as one .zip, to send to somebody",
    "unpack": "make a run folder of a .zip that `pack` wrote",
    "studio": "open a page in the browser on all runs, while they train and after",
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
        module = importlib.import_module(f"fromnoise.cli.{verb}{'_' * keyword.iskeyword(verb)}")
        sub = verbs.add_parser(verb, help=summary, description=module.__doc__)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv`; returns the exit code.

    A standard output that is full ends no work: what was made is kept, and the exit code is then that of WriteError.
    """
    with reported_to_launcher() as codes, kept_streams(sys.stdout, sys.stderr) as output, stopped_by_signals():
        code = _run(sys.argv[1:] if argv is None else list(argv))
        output.flush()
        if output.full:
            reason = output.full.strerror or type(output.full).__name__
            _say(f"fromnoise: cannot write to standard output ({reason}); free some space, or send it elsewhere")
            code = code or WriteError.exit_code
        codes[0] = code
    return codes[0]


def _run(argv: list[str]) -> int:
    parser, args = build_parser(), None
    try:
        args = parse(parser, argv)
        args.argv = argv
        if args.verb != "doctor" and here() is None:  # torch's libraries would end the process
            raise UsageError("the working folder is gone; change to a folder that exists, and run the command again")
        fix_threads(args)
        args.run(args)
        return 0
    except SystemExit as stop:  # argparse after --help and --version
        return int(stop.code or 0)
    except Interrupted as stop:
        if not stop.quiet:
            _say(f"\nfromnoise: {stop}")
        return stop.exit_code
    except FromNoiseError as error:
        if not _said_by_another(error):
            _say(f"fromnoise: {followable(str(error), args, flags_by_verb(parser)) if args else error}")
        return error.exit_code
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _say("fromnoise: memory ran out; close other programs, or ask for fewer or smaller images")
        return MemoryLimitError.exit_code
    except KeyboardInterrupt as stop:
        _say("\nfromnoise: stopped")
        return stop.exit_code if isinstance(stop, Stopped) else 130


def _said_by_another(error: FromNoiseError) -> bool:
    """Whether the first of many processes says it: what they have agreed on, or all found out before they joined."""
    if error.quiet or isinstance(error, ProcessError) or not os.environ.get("RANK", "0").strip("0"):
        return error.quiet
    from fromnoise.train.distributed import ALONE, current

    return current() is ALONE


def _say(text: str) -> None:
    print(text, file=sys.stderr)
