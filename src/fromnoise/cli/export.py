"""Take a trained model along, compared with what it was before this is announced: diffusers, ONNX, HTML, the Hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from fromnoise.cli.flags import add_model_flags, model_arguments
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError, choose

FORMATS = {
    "diffusers": "a folder for diffusers' DiffusionPipeline",
    "onnx": "a .onnx file of the denoiser, with --sampler of the whole sampler",
    "html": "one .html file that samples in a browser, offline",
    "space": "a folder with a gradio app around the one for diffusers, for here or as a Space of the Hub",
    "hub": "the folder for diffusers, uploaded to the Hugging Face Hub as OWNER/NAME",
}


def add_arguments(parser: Parser) -> None:
    """RUN, --to FORMAT PATH, and how it samples."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    words = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
    parser.flag("to", nargs=2, metavar=("FORMAT", "PATH"), required=True, help=words)
    parser.flag("license", "licence", metavar="ID", default="other", help="for the model card, such as apache-2.0")
    parser.flag("half", action="store_true", help="onnx: in float16, with what that changes")
    words = "html: onnxruntime-web as its npm .tgz, unpacked, or its dist folder (else downloaded once)"
    parser.flag("runtime", metavar="PATH", help=words)
    parser.flag("private", action="store_true", help="hub: seen by its owner alone")
    words = "another sampler than the run's; for onnx the whole sampler is exported, without NAME the run's own"
    parser.flag("sampler", nargs="?", const="", metavar="NAME", help=words)
    add_model_flags(parser, without="sampler")


def run(args: argparse.Namespace) -> None:
    """Export, and print where it lies and how far its samples are from the model's."""
    kind, path = args.to
    choose("export format", kind, FORMATS)
    if not path:
        raise UsageError(f"--to {kind} has an empty path; name the folder or file to write")
    if args.half and kind != "onnx":
        raise UsageError(f"--half was given with --to {kind}, but it is for onnx; leave it out")
    if args.runtime and kind != "html":
        raise UsageError(f"--runtime was given with --to {kind}, but it is for html; leave it out")
    if args.private and kind != "hub":
        raise UsageError(f"--private was given with --to {kind}, but it is for hub; leave it out")
    arguments = {**model_arguments(args, without="sampler"), **({"sampler": args.sampler} if args.sampler else {})}
    unrolled = args.sampler is not None and kind == "onnx"

    from fromnoise.run import Run

    trained = Run(args.run_folder, device=args.device)
    done = trained.export(
        kind,
        Path(path),
        licence=args.license,
        whole_sampler=unrolled,
        half=args.half,
        runtime=args.runtime,
        private=args.private,
        **arguments,
    )
    print(f"{done.about}; largest difference from the model {done.difference:.1e} (black 0, white 1)")
    print(done.path)
