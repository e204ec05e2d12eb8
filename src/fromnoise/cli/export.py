"""Take a trained model along, compared with what it was before: diffusers, ONNX, torch.export, HTML, the Hub."""

from __future__ import annotations

import argparse
import itertools
import shlex
from pathlib import Path
from typing import get_args

from fromnoise.cli.flags import add_model_flags, model_arguments, sample_settings
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError, choose
from fromnoise.common.outputs import UNROLLED
from fromnoise.settings import SamplerName

FORMATS = {
    "diffusers": "a folder for diffusers' DiffusionPipeline",
    "onnx": "a .onnx file of the denoiser, with --sampler of the whole sampler",
    "torch": "a .pt2 file of torch.export, of the same",
    "html": "one .html file that samples in a browser, offline",
    "space": "a folder with a gradio app around that for diffusers, as a Space of the Hub",
    "hub": "the folder for diffusers, uploaded to the Hub; its PATH is OWNER/NAME",
}

PLACES = {
    "diffusers": "digits-diffusers",
    "onnx": "model.onnx",
    "torch": "model.pt2",
    "html": "model.html",
    "space": "digits-space",
    "hub": "OWNER/NAME",
}
"""For each format a PATH, as an example."""


def add_arguments(parser: Parser) -> None:
    """RUN, --to FORMAT PATH, and how it samples."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    parser.epilog = "formats:\n" + "\n".join(f"  {name:<26}{about}" for name, about in FORMATS.items())
    words = "what to write, one of the formats below, and where; it replaces an export that is there"
    parser.flag("to", nargs=2, metavar=("FORMAT", "PATH"), required=True, help=words)
    parser.flag("license", "licence", metavar="ID", default="other", help="for the model card, such as apache-2.0")
    parser.flag("half", action="store_true", help="onnx: in float16, with what that changes")
    words = "onnx: in 8 bits, dynamic (the default) or static, with what that changes in file size and samples"
    parser.flag("int8", nargs="?", const="dynamic", metavar="KIND", help=words)
    parser.flag("num", type=int, metavar="N", help="--int8: samples by which the change is measured (default: 500)")
    words = "html: onnxruntime-web as its npm .tgz, unpacked, or its dist folder (else downloaded once)"
    parser.flag("runtime", metavar="PATH", help=words)
    parser.flag("private", action="store_true", help="hub: seen by its owner alone")
    words = "another sampler than the run's; for onnx and torch the whole sampler, without NAME the run's own"
    parser.flag("sampler", nargs="?", const="", metavar="NAME", help=words)
    add_model_flags(parser, without="sampler")
    parser.explain = explained


def run(args: argparse.Namespace) -> None:
    """Export, and print where it lies and how far its samples are from the model's."""
    kind, path = args.to
    choose("export format", kind, FORMATS)
    if not path:
        raise UsageError(f"--to {kind} has an empty path; name the folder or file to write")
    _check_flags(args, kind)
    arguments = {**model_arguments(args, without="sampler"), **({"sampler": args.sampler} if args.sampler else {})}
    unrolled = args.sampler is not None and kind in UNROLLED

    from fromnoise.run import Run

    trained = Run(args.run_folder, device=args.device)
    done = trained.export(
        kind,
        Path(path),
        licence=args.license,
        whole_sampler=unrolled,
        half=args.half,
        int8=args.int8,
        **({} if args.num is None else {"num": args.num}),
        runtime=args.runtime,
        private=args.private,
        **arguments,
    )
    print(f"{done.about}; largest difference from the model {done.difference:.1e} (black 0, white 1)")
    print(done.path)


def _check_flags(args: argparse.Namespace, kind: str) -> None:
    """UsageError for flags of another format, and for those that do not go together."""
    for flag, value, its in (
        ("half", args.half, "onnx"),
        ("int8", args.int8, "onnx"),
        ("runtime", args.runtime, "html"),
        ("private", args.private, "hub"),
    ):
        if value and kind != its:
            raise UsageError(f"--{flag} was given with --to {kind}, but it is for {its}; leave it out")
    if kind == "html" and args.license != "other":
        raise UsageError("--license was given with --to html, which has no model card; leave it out")
    if args.sampler == "" and kind not in UNROLLED:
        raise UsageError(
            f"--sampler was given without a name, which is for {' and '.join(UNROLLED)}; --to {kind} holds the run's "
            "sampler as it is, so leave it out or name another"
        )
    chosen = sample_settings(args, without="sampler")
    if kind in UNROLLED and args.sampler is None and not args.int8 and chosen:
        named = " and ".join(f"--{name}" for name in chosen)
        raise UsageError(
            f"{named} with --to {kind} alone, which holds one evaluation of the denoiser and no sampling; add "
            "--sampler, or leave it out"
        )
    if args.half and args.int8:
        raise UsageError("--half and --int8 were given, but a file has one of them; leave one out")
    if args.num is not None and not args.int8:
        raise UsageError("--num was given without --int8, whose samples it counts; add --int8, or leave it out")


def explained(words: list[str], message: str) -> str | None:
    """What to write instead of a command whose --to lacks a word, or whose RUN became the value of a flag."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    to = _values(words, "--to")
    if to is None:
        return None
    if len(to) < 2:
        kind, path = _format_and_path(to)
        said = f"'{to[0]}' alone" if to else "nothing"
        return f"--to was given {said}, but takes a format and a path; {_advice(words, '--to', to, [kind, path])}"
    for flag, known in (("--sampler", get_args(SamplerName)), ("--int8", ("dynamic", "static"))):
        found = _values(words, flag)
        if found and found[0] not in known and "required: RUN" in message:
            wanted = _advice([found[0], *words], flag, found[:1], [])
            return f"{flag} was given '{found[0]}' as its value, and no RUN was given; {wanted}"
    return None


def _values(words: list[str], flag: str) -> list[str] | None:
    """The words after `flag` and before the next one; None where it was not given."""
    if flag not in words:
        return None
    return list(itertools.takewhile(lambda word: not word.startswith("-"), words[words.index(flag) + 1 :]))


def _format_and_path(to: list[str]) -> tuple[str, str]:
    """What the one word after --to, or none, was meant to be."""
    if not to or to[0] in PLACES:
        kind = to[0] if to else "onnx"
        return kind, PLACES[kind]
    ending = Path(to[0]).suffix
    return next((kind for kind, place in PLACES.items() if ending and place.endswith(ending)), "diffusers"), to[0]


def _advice(words: list[str], flag: str, given: list[str], wanted: list[str]) -> str:
    """The command with `wanted` instead of `given` after `flag`."""
    at = words.index(flag) + 1
    corrected = [*words[:at], *wanted, *words[at + len(given) :]]
    return f"write `fromnoise export {' '.join(map(shlex.quote, corrected))}`"
