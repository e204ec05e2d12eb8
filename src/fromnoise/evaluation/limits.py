"""How many samples and training images an evaluation needs; known before anything is loaded."""

from __future__ import annotations

from fromnoise.common.errors import DataError, UsageError

FEWEST = 10  # images, below which nothing is measured


def check_num(num: int) -> None:
    """UsageError for fewer samples than can be measured."""
    if num < FEWEST:
        raise UsageError(f"--num is {num}, but at least {FEWEST} samples are needed to measure; give a larger number")


def few_note(count: int) -> str:
    """What to say of training images that are too few to measure with; nothing of enough."""
    few = f"note: `fromnoise evaluate` needs at least {FEWEST} training images, and here there are {count}"
    return "" if count >= FEWEST else few


def check_count(count: int, what: str = "training images", remedy: str = "give more of them") -> None:
    """DataError for fewer images than can be measured."""
    if count < FEWEST:
        raise DataError(f"there are {count} {what}, but at least {FEWEST} are needed to measure with; {remedy}")
