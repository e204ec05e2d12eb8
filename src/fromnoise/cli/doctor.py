"""Say what this machine can do: versions, device, precision, disk, data at hand, extras; and what is missing."""

from __future__ import annotations

import argparse
import json

from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError


def add_arguments(parser: Parser) -> None:
    """--json."""
    parser.flag("json", action="store_true", help="print the facts as JSON")


def run(args: argparse.Namespace) -> None:
    """Print a line a fact; UsageError where something needed is missing."""
    from dataclasses import asdict

    from fromnoise.cli.machine import examine

    facts = examine()
    if args.json:
        print(json.dumps([asdict(fact) for fact in facts], indent=1))
    else:
        for fact in facts:
            print(
                f"{'ok  ' if fact.ok else 'FAIL'} {fact.name}: {fact.value}"
                + (f" ({fact.advice})" if fact.advice else "")
            )
    bad = [fact for fact in facts if not fact.ok]
    if bad:
        raise UsageError(f"{bad[0].name}: {bad[0].value}; {bad[0].advice}")
