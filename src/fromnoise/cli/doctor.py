"""Say what this machine can do: versions, device, precision, disk, data at hand, extras; and what is missing."""

from __future__ import annotations

import argparse

from fromnoise.cli.flags import add_json_flag, write_json
from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """--json."""
    add_json_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Print a line a fact; UsageError where something needed is missing."""
    from dataclasses import asdict

    from fromnoise.cli.machine import examine

    facts = examine()
    if not write_json(args.json, [asdict(fact) for fact in facts]):
        for fact in facts:
            advice = f" ({fact.advice})" if fact.advice else ""
            print(f"{'ok  ' if fact.ok else 'FAIL'} {fact.name}: {fact.value}{advice}")
    bad = [fact for fact in facts if not fact.ok]
    if bad:
        raise UsageError(f"{bad[0].name}: {bad[0].value}; {bad[0].advice}")
