"""Make a run of a model that diffusers loads, compared with it before this is announced; or of a .pt state dict."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import chosen_settings, positive
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError
from fromnoise.common.text import quoted


def add_arguments(parser: Parser) -> None:
    """SOURCE or --state_dict, and what goes with them."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        help="a folder of a DDPM, DDIM or PNDMPipeline with a UNet2DModel, a folder that `export --to diffusers` "
        "wrote, or owner/name of the Hub",
    )
    parser.flag("output_dir", "outdir", metavar="DIR", help="the run folder (default: runs/<name>-imported)")
    parser.flag("data", metavar="DATA", help="the images to evaluate on; of a state dict, those it was trained on")
    parser.flag("steps", type=int, metavar="N", help="sampling steps (default: as many as the source takes)")
    words = "ddpm or ddim, to sample with it instead of the source's scheduler, on the same process"
    parser.flag("sampler", metavar="NAME", help=words)
    parser.flag("state_dict", metavar="FILE", help="a .pt file of weights alone; needs --recipe and --data")
    parser.flag("recipe", metavar="NAME", help="of a state dict: the recipe whose network it is")
    parser.flag(
        "set",
        action="append",
        metavar="NAME=VALUE",
        help="of a state dict: a setting, such as net.width=48; repeatable",
    )


def run(args: argparse.Namespace) -> None:
    """Import, and print how far the run's samples are from the source's and where the run lies."""
    if (args.source is None) == (args.state_dict is None):
        raise UsageError("one source is needed; give a folder, owner/name, or --state_dict FILE")
    changes = chosen_settings(args, {})
    if args.state_dict is not None and args.sampler:
        raise UsageError("--sampler is for a folder or a model of the Hub; write --set sample.sampler=NAME instead")
    if args.state_dict is None and (args.recipe or changes):
        flag = "--recipe" if args.recipe else "--set"
        raise UsageError(f"{flag} is for --state_dict; leave it out, as the folder says what it holds")
    if args.state_dict is not None and not (args.recipe and args.data):
        raise UsageError("a state dict says neither its network nor its images; give --recipe NAME and --data DATA")
    if args.steps is not None:
        positive("steps", args.steps)
        changes = {**changes, "sample.steps": args.steps}

    from fromnoise.run.importing import import_diffusers, import_state_dict

    if args.state_dict is None:
        done = import_diffusers(args.source, args.output_dir, data=args.data, steps=args.steps, sampler=args.sampler)
    else:
        done = import_state_dict(args.state_dict, args.output_dir, args.data, args.recipe, changes)
    for note in done.notes:
        print(f"note: {note}")
    if done.difference is not None:
        print(f"largest difference from the source's samples {done.difference:.1e} (black 0, white 1)")
    word = quoted(done.path)
    print(f"next: fromnoise sample {word}, or fromnoise train DATA --init {word}")
    print(done.path)
