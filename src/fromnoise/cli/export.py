"""Take a trained model along, compared with what it was before: diffusers, ONNX, torch.export, HTML, the Hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from fromnoise.cli.flags import add_model_flags, model_arguments
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError, choose

FORMATS = {
    "diffusers": "a folder for diffusers' DiffusionPipeline",
    "onnx": "a .onnx file of the denoiser, with --sampler of the whole sampler",
    "torch": "a .pt2 file of torch.export, of the same",
    "html": "one .html file that samples in a browser, offline",
    "space": "a folder with a gradio app around that for diffusers, as a Space of the Hub",
    "hub": "the folder for diffusers, uploaded to the Hub; its PATH is OWNER/NAME",
}

UNROLLED = ("onnx", "torch")  # which hold the denoiser, or with --sampler all of sampling


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
    if args.sampler == "" and kind not in UNROLLED:
        raise UsageError(
            f"--sampler was given without a name, which is for {' and '.join(UNROLLED)}; --to {kind} holds the run's "
            "sampler as it is, so leave it out or name another"
        )
    if args.half and args.int8:
        raise UsageError("--half and --int8 were given, but a file has one of them; leave one out")
    if args.num is not None and not args.int8:
        raise UsageError("--num was given without --int8, whose samples it counts; add --int8, or leave it out")
