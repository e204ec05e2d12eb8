"""Measure how good samples are, beside real images, offline; or quality against cost (--sweep); or any pictures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fromnoise.cli.flags import (
    SAMPLE_FLAGS,
    add_device_flag,
    add_json_flag,
    add_setting_flags,
    add_weights_flags,
    positive,
    sample_settings,
    write_json,
)
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError

if TYPE_CHECKING:
    from fromnoise.evaluation.evaluate import How
    from fromnoise.evaluation.evaluation import Evaluation


def add_arguments(parser: Parser) -> None:
    """RUN, or --samples with --reference; how many, in which features, and how they are sampled."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help="a folder that `fromnoise train` made")
    parser.flag("samples", metavar="PATH", help="measure these pictures (.npz, folder, .zip) instead of a run's")
    parser.flag("reference", metavar="DATA", help="the real images that --samples are measured against")
    parser.flag("num", type=int, metavar="N", help="how many samples (default: 10000; 2000 for each of a sweep)")
    parser.flag(
        "features", default="auto", metavar="{auto,domain,pixels,inception,dinov2}", help="the space to measure in"
    )
    parser.flag("feature_weights", metavar="PATH", help="weights of inception or dinov2, instead of a download")
    parser.flag("statistics", metavar="FILE.npz", help="also the distance to these statistics (keys mu and sigma)")
    parser.flag("save_statistics", metavar="FILE.npz", help="keep the training images' statistics (keys mu and sigma)")
    parser.flag(
        "extended",
        "deep",
        action="store_true",
        help="also what takes minutes: usefulness, two-sample test, bits per dimension",
    )
    parser.flag("sweep", nargs="+", metavar="NAME=A,B", help="only quality against cost: steps=5,10 sampler=euler,heun")
    add_json_flag(parser)
    parser.flag("output_dir", metavar="DIR", help="where evaluation.json and the report of --samples go")
    add_setting_flags(parser, SAMPLE_FLAGS)
    add_weights_flags(parser)
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure what is asked for, print it, and say where it lies."""
    settings = sample_settings(args)
    if args.num is not None:
        positive("num", args.num)
    if args.feature_weights is not None and args.features not in ("inception", "dinov2"):
        raise UsageError("--feature_weights are another network's; they go with --features inception or dinov2")
    if args.json not in (None, "-"):
        from fromnoise.common.files import check_writable

        check_writable(args.json)
    if args.samples is not None:
        _files(args, settings)
    elif args.run_folder is None:
        raise UsageError(
            "no RUN was given; name a folder that `fromnoise train` made, or use --samples and --reference"
        )
    elif args.reference is not None or args.output_dir is not None:
        raise UsageError("--reference and --output_dir go with --samples; a run has its own data and folder")
    elif args.sweep:
        _sweep(args, settings)
    else:
        _run(args, settings)


def _how(args: argparse.Namespace) -> How:
    from fromnoise.evaluation.evaluate import How

    return How(args.features, args.feature_weights, args.statistics, args.save_statistics)


def _run(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    from fromnoise.run import Run

    model = Run(args.run_folder, device=args.device)
    found = model.evaluate(
        args.num or 10_000,
        how=_how(args),
        extended=args.extended,
        checkpoint=args.checkpoint,
        weights=args.weights,
        **settings,
    )
    _say(found, args.json)
    if args.json != "-":
        print(model.folder.report)


def _files(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    given = [name for name in ("num", "sweep", "extended") if getattr(args, name)]
    if args.run_folder is not None or settings or given or args.checkpoint != "last" or args.weights != "ema":
        raise UsageError("--samples measures pictures that are made already; leave RUN and the flags of sampling out")
    if args.reference is None:
        raise UsageError("--samples needs real images beside it; add --reference DATA, such as --reference mnist")

    from fromnoise.evaluation.external_samples import evaluate_pictures

    found, path = evaluate_pictures(args.samples, args.reference, _how(args), output_dir=args.output_dir)
    _say(found, args.json)
    if path is not None and args.json != "-":
        print(path)


def _sweep(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    if args.extended or args.statistics or args.save_statistics:
        raise UsageError("--sweep measures quality against cost only; leave --extended and --statistics out")

    from fromnoise.common.text import columns
    from fromnoise.evaluation.sweep import parse_axes, sweep_table
    from fromnoise.run import Run

    model, axes = Run(args.run_folder, device=args.device), parse_axes(args.sweep)
    swept = model.sweep(
        axes, args.num or 2000, features=args.features, checkpoint=args.checkpoint, weights=args.weights, **settings
    )
    if not write_json(args.json, swept.to_json()):
        print(columns(sweep_table(swept)))
        print(model.folder.report)


def _say(found: Evaluation, json_to: str | None) -> None:
    """The table, the verdict and the notes; the JSON where it is wanted."""
    from fromnoise.common.text import columns
    from fromnoise.evaluation.report import deep_table, protocol_line, verdict

    if write_json(json_to, found.to_json()):
        return
    print(columns(found.table()))
    if found.deep:
        print(columns(deep_table(found.deep)))
    print(protocol_line(found))
    print(verdict(found))
    for note in found.notes:
        print(f"note: {note}")
