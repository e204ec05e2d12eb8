"""The flag --condition: numbers that samples are conditioned on, each one value or, for a film, two."""

from __future__ import annotations

from collections.abc import Sequence

from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError

Ends = tuple[float, float]


def add_condition_flag(parser: Parser, more: str = "") -> None:
    """Add --condition."""
    words = f"a number to condition on, such as slant=0.3{more}; repeatable"
    parser.flag("condition", action="append", metavar="NAME=VALUE", help=words)


def parse_conditions(texts: Sequence[str] | None) -> tuple[dict[str, float], dict[str, Ends]]:
    """(name -> value, name -> first and last of a film) of the flags; UsageError for anything else."""
    values: dict[str, float] = {}
    films: dict[str, Ends] = {}
    for text in texts or ():
        name, _, given = text.partition("=")
        try:
            numbers = [float(part) for part in given.split(":")]
        except ValueError:
            numbers = []
        if not name.strip() or len(numbers) not in (1, 2):
            raise UsageError(f"--condition {text} was given, but NAME=VALUE was expected; write --condition slant=0.3")
        if name.strip() in {**values, **films}:
            raise UsageError(f"--condition {name.strip()} was given twice; give it once")
        if len(numbers) == 2:
            films[name.strip()] = (numbers[0], numbers[1])
        else:
            values[name.strip()] = numbers[0]
    if len(films) > 1:
        raise UsageError(
            f"--condition {' and '.join(films)} were given from one value to another, but a film goes along one; give "
            "the others a single value"
        )
    return values, films


def fixed_conditions(texts: Sequence[str] | None) -> dict[str, float]:
    """name -> value of the flags; UsageError for a film, which only `fromnoise sample` makes."""
    values, films = parse_conditions(texts)
    if films:
        raise UsageError(f"--condition {next(iter(films))} has two values, which make a film; give one value here")
    return values
