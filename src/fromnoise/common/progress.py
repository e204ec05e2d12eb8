"""Progress for people who wait: a line on standard error, and a bar where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fromnoise.common.text import visible

_SILENT = False


def report_progress(text: str) -> None:
    """Print a line on standard error."""
    if not _SILENT:
        print(visible(text), file=sys.stderr, flush=True)


def stay_silent() -> None:
    """Report nothing from now on: this is one of many processes, of which the first reports."""
    global _SILENT
    _SILENT = True


@contextmanager
def progress(text: str, total: int, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Gives a function that moves the bar on by so many files, or bytes."""
    if _SILENT or not sys.stderr.isatty():
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    amounts = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amounts, Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(text), total=total)
        yield lambda amount: bar.advance(task, amount)
