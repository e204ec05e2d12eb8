"""Train for 100 seconds, sample and write a report: on MNIST where it can be had, else on the digits shipped here."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fromnoise.cli.flags import add_device_flag
from fromnoise.cli.parser import Parser, parse
from fromnoise.common.errors import DataError, WriteError


def add_arguments(parser: Parser) -> None:
    """--budget, --output_dir, --device."""
    parser.flag("budget", default="100s", metavar="TIME", help="how long to train (default: 100s)")
    parser.flag("output_dir", metavar="DIR", help="the run folder (default: runs/demo-mnist or runs/demo-digits)")
    add_device_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Train, sample and show; the same command again goes on where the last one stopped."""
    from fromnoise.cli import train

    data, waited = _data()
    folder = args.output_dir or f"runs/demo-{data}"
    device = ["--device", args.device]
    train.run(_parsed("train", data, "--budget", args.budget, "--output_dir", folder, *device), waited)
    for verb in ("sample", "show"):
        again = _parsed(verb, folder, *device)
        again.run(again)
    print(f"Open this in a browser: {Path(folder).absolute() / 'report.html'}")


def _parsed(*argv: str) -> argparse.Namespace:
    from fromnoise.cli import build_parser

    return parse(build_parser(), list(argv))


def _data() -> tuple[str, float]:
    """(the data set to train on, seconds spent on getting it)."""
    from fromnoise.data import fetch

    began = time.monotonic()
    try:
        fetch("mnist")
        print("Data: mnist, 28x28, since it is at hand.", flush=True)
        data = "mnist"
    except (DataError, WriteError):
        print("Data: digits (1,797 of them, 16x16, nothing to download), since MNIST cannot be downloaded here;")
        print("`fromnoise data fetch mnist` tells why and where its files may be put.", flush=True)
        data = "digits"
    return data, time.monotonic() - began
