"""Edit images with a trained run: inpaint, vary, interpolate, or invert them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.cli.conditions import add_condition_flag, fixed_conditions
from fromnoise.cli.flags import add_model_flags, model_arguments, parse_seeds, positive
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError
from fromnoise.common.outputs import EDIT_KINDS, output_kind
from fromnoise.common.text import file_part

if TYPE_CHECKING:
    from fromnoise.editing.editor import Editor
    from fromnoise.editing.result import Edit

ACTIONS = {
    "inpaint": "fill the region that a mask selects, and keep the rest",
    "img2img": "make variations of an image, close to it or far from it",
    "interpolate": "make images between two seeds, or between two images",
    "invert": "take images to noise and back, and measure the error",
}
_LONGEST = 200  # bytes of a name: file systems take 255
NEEDED = {"inpaint": ("image", "mask"), "img2img": ("image",), "interpolate": (), "invert": ("image",)}
_IMAGE = "a file, or the number of a training image"
_NUM = 8


def add_arguments(parser: Parser) -> None:
    """RUN, then an action with its flags."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    parsers = {}
    for name, summary in ACTIONS.items():
        parsers[name] = actions.add_parser(name, prog=f"fromnoise edit RUN {name}", help=summary, description=summary)
    for name in ("inpaint", "img2img"):
        parsers[name].flag("image", metavar="PATH|N", help=_IMAGE)
        parsers[name].flag("num", type=int, metavar="N", help=f"how many images: seeds 0 to N-1 (default: {_NUM})")
        parsers[name].flag("seeds", metavar="RANGE", help="seeds, such as 0-63 (both ends) or 1,5,8-10")
    parsers["inpaint"].flag("mask", metavar="FILE", help="an image of the model's size, white where to inpaint")
    parsers["inpaint"].flag(
        "resample",
        type=int,
        default=1,
        metavar="R",
        help="take each step R times, so that region and surroundings agree (default: 1)",
    )
    parsers["img2img"].flag(
        "strength",
        type=float,
        default=0.6,
        metavar="X",
        help="0.01 changes little, 1 replaces the image (default: 0.6)",
    )
    parsers["interpolate"].flag("seeds", metavar="A,B", help="from the sample of seed A to that of seed B")
    parsers["interpolate"].flag("images", nargs=2, metavar=("A", "B"), help=f"from one image to another: {_IMAGE}")
    parsers["interpolate"].flag("num", type=int, metavar="N", help=f"how many, both ends included (default: {_NUM})")
    parsers["invert"].flag("image", nargs="+", metavar="PATH|N", help=f"{_IMAGE}; several may be given")
    for action in parsers.values():
        _add_common(action)


def _add_common(parser: Parser) -> None:
    """The flags that all actions take."""
    parser.flag("label", "class", dest="label", metavar="CLASS", help="the class (default: a training image's own)")
    add_condition_flag(parser)
    parser.flag("out", metavar="PATH", help="a .png (its steps go beside it), a .gif of the steps, or a folder of PNGs")
    add_model_flags(parser)


def run(args: argparse.Namespace) -> None:
    """Make the edit; print what was done and where it was written."""
    for flag in NEEDED[args.action]:
        if getattr(args, flag) is None:  # checked here and not by argparse, so that a misspelt flag is named first
            raise UsageError(f"--{flag} is missing; see `fromnoise edit RUN {args.action} --help`")
    num = positive("num", _NUM if getattr(args, "num", None) is None else args.num)
    seeds = parse_seeds(args.seeds) if getattr(args, "seeds", None) else None
    if args.action != "interpolate" and seeds and args.num is not None:
        raise UsageError("--num and --seeds were both given; use one of them")
    arguments = model_arguments(args)
    kind = output_kind(args.out, EDIT_KINDS, "an edit") if args.out else ".png"

    from fromnoise.editing.result import strip_beside
    from fromnoise.run import Run

    opened = Run(args.run_folder, device=args.device)
    out = args.out or opened.folder.edits / _name(args, seeds or list(range(num)))
    edit = _edit(opened.edit(**arguments), args, num, seeds)
    for note in edit.notes:
        print(note)
    saved = edit.save(out)
    if kind == ".png":
        print(f"steps: {strip_beside(Path(out))}")
    print(saved)


def _edit(editor: Editor, args: argparse.Namespace, num: int, seeds: list[int] | None) -> Edit:
    """The result of the action."""
    on: dict[str, Any] = {"label": args.label, "conditions": fixed_conditions(args.condition)}
    if args.action == "inpaint":
        return editor.inpaint(args.image, args.mask, num, seeds=seeds, resample=args.resample, **on)
    if args.action == "img2img":
        return editor.img2img(args.image, args.strength, num, seeds=seeds, **on)
    if args.action == "interpolate":
        return editor.interpolate(seeds=seeds, images=args.images, num=num, **on)
    return editor.invert(args.image, **on)


def _name(args: argparse.Namespace, seeds: list[int]) -> str:
    """inpaint-seven-seeds0-7.png, img2img-7-strength0.6-seeds0-7.png, interpolate-seeds3-17.png, invert-7.png."""
    images = getattr(args, "images", None) or getattr(args, "image", None) or []
    parts = [Path(image).stem for image in ([images] if isinstance(images, str) else images[:3])]
    if args.action == "img2img":
        parts.append(f"strength{args.strength:g}")
    if args.action == "inpaint":
        parts += [Path(args.mask).stem] if args.mask else []
        parts += [f"resample{args.resample}"] if args.resample > 1 else []
    if args.action in ("inpaint", "img2img") or getattr(args, "seeds", None):
        parts.append(f"seeds{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed{seeds[0]}")
    if args.label is not None:
        parts.append(f"label{file_part(args.label)}")
    parts += [text.replace(":", " to ") for text in args.condition or ()]
    stem = "-".join([args.action, *(file_part(part[:40]) for part in parts)])
    return stem.encode()[:_LONGEST].decode(errors="ignore").rstrip(".") + ".png"
