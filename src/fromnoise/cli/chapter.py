"""Run the tutorial chapter that fromnoise grew from: every figure, and every number beside the published one."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import add_device_flag, positive
from fromnoise.cli.parser import Parser
from fromnoise.cli.together import add_processes_flag, shared_work


def add_arguments(parser: Parser) -> None:
    """--quick, --unet2d_images, --data, --output_dir, --lang, --seed, --device."""
    parser.flag("quick", action="store_true", help="train a stated part only: under 5 minutes on 2 cores")
    parser.flag("unet2d_images", type=int, metavar="N", help="train UNet2DModel on fewer than its 180,000 images")
    parser.flag(
        "data",
        default="mnist",
        metavar="DATA",
        help="mnist as in the chapter, or any other data without the comparison",
    )
    parser.flag("output_dir", default="chapter", metavar="DIR", help="where figures/, chapter.json and chapter.html go")
    parser.flag("lang", choices=("en", "zh"), default="en", help="language of the page: English or Chinese")
    parser.flag("seed", type=int, default=0, metavar="N", help="everything random follows from it")
    add_device_flag(parser)
    add_processes_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Run it, and print where the page was written."""
    from fromnoise.chapter import run_chapter

    if args.unet2d_images is not None:
        positive("unet2d_images", args.unet2d_images)
    with shared_work(args) as group:
        page = run_chapter(
            args.output_dir,
            data=args.data,
            quick=args.quick,
            seed=args.seed,
            device=args.device,
            unet2d_images=args.unet2d_images,
            lang=args.lang,
        )
        if group.rank == 0:
            print(page)
