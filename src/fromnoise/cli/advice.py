"""Advice that can be followed: of what an error advises, what the verb at work has flags for.

An error is raised where its reason is known, by code that several verbs share; which flags there are is known here. Its
last clause, after "; ", is the advice: alternatives with commas and "or" between them. Whole commands in backticks are
other verbs' own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping

_FLAG = re.compile(r"(?<![\w-])--([a-z]\w*)")
_COMMAND = re.compile(r"`[^`]*`")
_BETWEEN = re.compile(r", or |, (?=[a-z])")
_FIXED = {"resume": {"output_dir", "init"}}  # flag that was given -> those that have no place beside it
_GIVEN = {"resume": "go on with `fromnoise train --resume"}  # flag -> the alternative that is what was typed
_ELSEWHERE = "copy the run to a folder that you may write to, and resume that"


def followable(message: str, args: argparse.Namespace, flags: Mapping[str, set[str]]) -> str:
    """`message` without the alternatives that name flags which the verb of `args` has not.

    Where none is left, the verb that has them is named.

    Arguments:
        flags: of every verb, the most used verb first.
    """
    said, mark, advice = message.rpartition("; ")
    beside = {name for given, names in _FIXED.items() if getattr(args, given, None) for name in names}
    typed = tuple(start for given, start in _GIVEN.items() if getattr(args, given, None))
    others = set().union(beside, *flags.values()) - (flags[args.verb] - beside)  # what no verb has is another program's

    def missing(part: str) -> set[str]:
        return set(_FLAG.findall(_COMMAND.sub("", part))) & others

    parts = _split(advice)
    kept = [part for part in parts if not missing(part) and not part.removeprefix("or ").startswith(typed)]
    if not mark or kept == parts:
        return message
    if kept:
        return f"{said}; {', '.join(kept[:-1])}{', or ' if len(kept) > 1 else ''}{kept[-1].removeprefix('or ')}"
    wanted = missing(advice)
    if not wanted:
        return message
    if wanted <= beside:
        return f"{said}; {_ELSEWHERE}"
    other = next((verb for verb, there in flags.items() if wanted <= there), None)
    words = " ".join(f"--{name}" for name in sorted(wanted))
    return f"{said}; `fromnoise {other} {words}` can do this" if other else message


def _split(advice: str) -> list[str]:
    """The alternatives; commas inside a command are its own."""
    hidden = _COMMAND.sub(lambda found: found[0].replace(", ", "\0"), advice)
    return [part.replace("\0", ", ") for part in _BETWEEN.split(hidden)]
