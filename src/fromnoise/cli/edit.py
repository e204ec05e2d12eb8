"""Change pictures with a trained run: paint a hole anew, vary, interpolate, or take them to noise and back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.cli.flags import (
    SAMPLE_FLAGS,
    add_device_flag,
    add_setting_flags,
    add_weights_flags,
    parse_seeds,
    positive,
    sample_settings,
)
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError, nearest

if TYPE_CHECKING:
    from fromnoise.editing.editor import Editor
    from fromnoise.editing.result import Edit

ACTIONS = {
    "inpaint": "paint anew what a mask marks, and keep the rest",
    "img2img": "variations of a picture, from nearly itself to anything",
    "interpolate": "pictures on the way from one seed, or one picture, to another",
    "invert": "a picture to noise and back, and how much of it is lost",
}
NEEDED = {"inpaint": ("image", "mask"), "img2img": ("image",), "interpolate": (), "invert": ("image",)}
_IMAGE = "a file, or the number of a training picture"
_NUM = 8


class _Action(Parser):
    """A parser of one action, which answers an unknown flag with the nearest of its own."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but whatever is not known is refused here, where the flags are."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flags = [s for a in self._actions for s in a.option_strings if a.help is not argparse.SUPPRESS]
            guess = nearest(unknown[0].partition("=")[0], flags) if unknown[0].startswith("-") else None
            hint = f"did you mean {guess}?" if guess else f"see `{self.prog} --help`"
            raise UsageError(f"unknown argument '{unknown[0]}' to `{self.prog}`; {hint}")
        return found, unknown


def add_arguments(parser: Parser) -> None:
    """RUN, then an action with its flags."""
    parser.add_argument("run_folder", metavar="RUN", help="a folder that `fromnoise train` made")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Action)
    made = {}
    for name, summary in ACTIONS.items():
        made[name] = actions.add_parser(name, prog=f"fromnoise edit RUN {name}", help=summary, description=summary)
    for name in ("inpaint", "img2img"):
        made[name].flag("image", metavar="PATH|N", help=_IMAGE)
        made[name].flag("num", type=int, metavar="N", help=f"how many: seeds 0 to N-1 (default: {_NUM})")
        made[name].flag("seeds", metavar="RANGE", help="which, such as 0-63 (both ends) or 1,5,8-10")
    made["inpaint"].flag("mask", metavar="FILE", help="of the pictures' size; white is painted anew")
    made["inpaint"].flag(
        "resample",
        type=int,
        default=1,
        metavar="R",
        help="take each step R times, so that hole and rest agree",
    )
    made["img2img"].flag(
        "strength", type=float, default=0.6, metavar="X", help="0.01 hardly a change, 1 all anew (default: 0.6)"
    )
    made["interpolate"].flag("seeds", metavar="A,B", help="from the picture of seed A to that of B")
    made["interpolate"].flag("images", nargs=2, metavar=("A", "B"), help=f"from one picture to another: {_IMAGE}")
    made["interpolate"].flag("num", type=int, metavar="N", help=f"how many, both ends included (default: {_NUM})")
    made["invert"].flag("image", nargs="+", metavar="PATH|N", help=f"{_IMAGE}; several may be given")
    for action in made.values():
        _add_common(action)


def _add_common(parser: Parser) -> None:
    """The flags that all actions take."""
    parser.flag("label", "class", dest="label", metavar="CLASS", help="the class (default: a training picture's own)")
    parser.flag("out", metavar="PATH", help=".png with its steps beside it, .gif the steps, else a folder of PNGs")
    add_setting_flags(parser, SAMPLE_FLAGS)
    add_weights_flags(parser)
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Make the edit, say what it did, and where it lies."""
    for flag in NEEDED[args.action]:
        if getattr(args, flag) is None:  # asked here and not by argparse, so that a misspelt flag is named first
            raise UsageError(f"--{flag} is missing; see `fromnoise edit RUN {args.action} --help`")
    num = positive("num", _NUM if getattr(args, "num", None) is None else args.num)
    seeds = parse_seeds(args.seeds) if getattr(args, "seeds", None) else None
    if args.action != "interpolate" and seeds and args.num is not None:
        raise UsageError("--num and --seeds were both given; use one of them")
    settings = sample_settings(args)

    from fromnoise.editing.result import check_ending, strip_beside
    from fromnoise.run import Run

    model = Run(args.run_folder, device=args.device)
    out = Path(args.out) if args.out else model.path / "edits" / _name(args, seeds or list(range(num)))
    kind = check_ending(out)
    made = _made(model.edit(checkpoint=args.checkpoint, weights=args.weights, **settings), args, num, seeds)
    for note in made.notes:
        print(note)
    saved = made.save(out)
    if kind == ".png":
        print(f"steps: {strip_beside(out)}")
    print(saved)


def _made(editor: Editor, args: argparse.Namespace, num: int, seeds: list[int] | None) -> Edit:
    """What the action makes."""
    if args.action == "inpaint":
        return editor.inpaint(args.image, args.mask, num, seeds=seeds, resample=args.resample, label=args.label)
    if args.action == "img2img":
        return editor.img2img(args.image, args.strength, num, seeds=seeds, label=args.label)
    if args.action == "interpolate":
        return editor.interpolate(seeds=seeds, images=args.images, num=num, label=args.label)
    return editor.invert(args.image, label=args.label)


def _name(args: argparse.Namespace, seeds: list[int]) -> str:
    """inpaint-seven-seeds0-7.png, img2img-7-strength0.6-seeds0-7.png, interpolate-seeds3-17.png, invert-7.png."""
    images = getattr(args, "images", None) or getattr(args, "image", None) or []
    parts = [Path(image).stem for image in ([images] if isinstance(images, str) else images[:3])]
    if args.action == "img2img":
        parts.append(f"strength{args.strength:g}")
    if args.action == "inpaint" and args.resample > 1:
        parts.append(f"resample{args.resample}")
    if args.action in ("inpaint", "img2img") or getattr(args, "seeds", None):
        parts.append(f"seeds{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed{seeds[0]}")
    if args.label is not None:
        parts.append(f"label{args.label}".replace("/", "_"))
    return "-".join([args.action, *(part[:40] for part in parts)]) + ".png"
