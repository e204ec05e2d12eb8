"""Measure how good samples are, beside real images, offline; or quality against cost (--sweep); or any images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.cli.flags import (
    SAMPLE_FLAGS,
    add_device_flag,
    add_json_flag,
    add_setting_flags,
    add_weights_flags,
    data_settings,
    positive,
    sample_settings,
    write_json,
)
from fromnoise.cli.parser import Parser
from fromnoise.cli.together import add_processes_flag, shared_work
from fromnoise.common.errors import UsageError
from fromnoise.evaluation.limits import check_num

if TYPE_CHECKING:
    from fromnoise.evaluation.evaluate import EvaluationSpec
    from fromnoise.evaluation.evaluation import Evaluation
    from fromnoise.train.distributed import Group


REFERENCE_FLAGS = {"resolution": "data.resolution", "on_bad_image": "data.on_bad_image"}


def add_arguments(parser: Parser) -> None:
    """RUN, or --samples with --reference; how many samples, in which features, sampled how."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help="a folder that `fromnoise train` made")
    parser.flag("samples", metavar="PATH", help="measure these images (.npz, folder, .zip) instead of samples of a run")
    parser.flag("reference", metavar="DATA", help="the real images that --samples are measured against")
    parser.flag("num", type=int, metavar="N", help="how many samples (default: 10000; 2000 for each of a sweep)")
    parser.flag(
        "features",
        default="auto",
        metavar="{auto,domain,pixels,inception,dinov2}",
        help="feature space: auto (= domain), domain (a classifier of this data set), pixels, inception, dinov2",
    )
    parser.flag("feature_weights", metavar="PATH", help="weights of inception or dinov2, instead of a download")
    parser.flag("statistics", metavar="FILE.npz", help="also give the FD to these statistics (keys mu and sigma)")
    parser.flag("save_statistics", metavar="FILE.npz", help="write the training images' statistics (keys mu and sigma)")
    parser.flag(
        "extended",
        "deep",
        action="store_true",
        help="also measure what takes minutes: classification accuracy score, two-sample test, bits per dimension",
    )
    parser.flag("sweep", nargs="+", metavar="NAME=A,B", help="only quality against cost: steps=5,10 sampler=euler,heun")
    add_setting_flags(parser, REFERENCE_FLAGS)
    parser.flag(
        "set",
        action="append",
        metavar="NAME=VALUE",
        help="another setting of the data of --reference, such as data.channels=1",
    )
    add_json_flag(parser)
    parser.flag("output_dir", metavar="DIR", help="where evaluation.json and the report of --samples go")
    add_setting_flags(parser, SAMPLE_FLAGS)
    add_weights_flags(parser)
    add_device_flag(parser)
    add_processes_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and the verdict, and last where the report is."""
    data, args.set = data_settings(args, REFERENCE_FLAGS), None
    settings = sample_settings(args)
    if args.num is not None and args.samples is None:
        check_num(positive("num", args.num))
    if args.feature_weights is not None and args.features not in ("inception", "dinov2"):
        raise UsageError("--feature_weights go with --features inception or dinov2 only; leave them out")
    written = Path(args.output_dir) / "evaluation.json" if args.output_dir is not None else None
    if targets := [path for path in (args.json, args.save_statistics, written) if path not in (None, "-")]:
        from fromnoise.common.files import check_writable

        for path in targets:
            check_writable(path)
    if args.samples is not None:
        _check_files(args, settings)
        with shared_work(args) as group:
            _files(args, data, group)
    elif args.run_folder is None:
        raise UsageError(
            "no RUN was given; name a folder that `fromnoise train` made, or use --samples and --reference"
        )
    elif args.reference is not None or args.output_dir is not None or data:
        raise UsageError(
            "--reference, --output_dir and settings of data go with --samples; a run has its own data and folder"
        )
    else:
        with shared_work(args) as group:
            (_sweep if args.sweep else _run)(args, settings, group)


def _spec(args: argparse.Namespace) -> EvaluationSpec:
    from fromnoise.evaluation.evaluate import EvaluationSpec

    return EvaluationSpec(args.features, args.feature_weights, args.statistics)


def _run(args: argparse.Namespace, settings: dict[str, Any], group: Group) -> None:
    from fromnoise.run import Run

    opened = group.each(lambda: Run(args.run_folder, device=args.device))
    evaluation = opened.evaluate(
        args.num or 10_000,
        spec=_spec(args),
        extended=args.extended,
        statistics_to=args.save_statistics,
        checkpoint=args.checkpoint,
        weights=args.weights,
        **settings,
    )
    if group.rank:
        return
    _print(evaluation, args.json)
    if args.json != "-":
        print(opened.folder.report)


def _check_files(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    given = args.num is not None or args.sweep or args.extended
    if args.run_folder is not None or settings or given or args.checkpoint != "last" or args.weights != "ema":
        besides = "" if args.reference else ", and add --reference DATA"
        raise UsageError(f"--samples measures images that exist already; leave RUN and the sampling flags out{besides}")
    if args.device != "auto":
        raise UsageError(
            "--device is for what a run samples, but --samples are measured on the CPU; leave --device out"
        )
    if args.reference is None:
        raise UsageError("--samples needs real images beside it; add --reference DATA, such as --reference mnist")


def _files(args: argparse.Namespace, data: dict[str, Any], group: Group) -> None:
    from fromnoise.run.evaluations import evaluate_files

    evaluation, path = evaluate_files(
        args.samples,
        args.reference,
        _spec(args),
        settings=data,
        output_dir=args.output_dir,
        statistics_to=args.save_statistics,
    )
    if group.rank:
        return
    _print(evaluation, args.json)
    if path is not None and args.json != "-":
        print(path)


def _sweep(args: argparse.Namespace, settings: dict[str, Any], group: Group) -> None:
    if args.extended or args.statistics or args.save_statistics:
        raise UsageError("--sweep measures quality against cost only; leave --extended and --statistics out")

    from fromnoise.common.text import columns
    from fromnoise.evaluation.sweep import parse_axes, sweep_table
    from fromnoise.run import Run

    opened, axes = group.each(lambda: (Run(args.run_folder, device=args.device), parse_axes(args.sweep)))
    chosen = {**settings, **({} if args.weights == "ema" else {"weights": args.weights})}
    if both := [name for name in axes if name in chosen]:
        raise UsageError(f"--sweep has {both[0]} as an axis, and --{both[0]} was given besides; leave one of them out")
    swept = opened.sweep(
        axes,
        args.num or 2000,
        features=args.features,
        feature_weights=args.feature_weights,
        checkpoint=args.checkpoint,
        weights=args.weights,
        **settings,
    )
    if group.rank == 0 and not write_json(args.json, swept.to_json()):
        print(columns(sweep_table(swept)))
        print(opened.folder.report)


def _print(evaluation: Evaluation, json_to: str | None) -> None:
    """The table, the verdict and the notes, or the JSON."""
    from fromnoise.common.text import columns
    from fromnoise.evaluation.summary import conditions_table, evaluation_table, extended_table, protocol_line, verdict

    if write_json(json_to, evaluation.to_json()):
        return
    print(columns(evaluation_table(evaluation)))
    if evaluation.conditions:
        print(columns(conditions_table(evaluation.conditions)))
    if evaluation.extended:
        print(columns(extended_table(evaluation.extended)))
    print(protocol_line(evaluation))
    print(verdict(evaluation))
    for note in evaluation.notes:
        print(f"note: {note}")
