"""Verbs on a trained model whose work many processes share: who starts them, and which one prints and writes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fromnoise.cli.launch import launch, wants_processes
from fromnoise.cli.parser import Parser

if TYPE_CHECKING:
    from fromnoise.train.distributed import Group


def add_processes_flag(parser: Parser) -> None:
    """Add --num_processes."""
    parser.flag(
        "num_processes",
        type=int,
        metavar="N",
        help="share the work between N processes on this machine, as torchrun starts them; the result is that of one",
    )


@contextmanager
def shared_work(args: argparse.Namespace) -> Iterator[Group]:
    """Inside, samples and features are made by the processes of the group that this gives; the first one prints.

    Raises SystemExit with their exit code where --num_processes asks for them, and they are not there yet.
    """
    if args.num_processes is not None and wants_processes(args.num_processes):
        raise SystemExit(launch(args.num_processes, args.argv))

    from fromnoise.model.shares import sharing
    from fromnoise.run.together import join_training

    with sharing(join_training()) as group:
        yield group
        group.part()
