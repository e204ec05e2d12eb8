"""`train --few_steps`: one command that trains a run and then distils it, within one budget."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.cli.distill import show_distilling
from fromnoise.common.durations import parse_duration
from fromnoise.common.errors import UsageError

if TYPE_CHECKING:
    from fromnoise.run import Run

SHARE = 0.25  # of --budget, for the distillation


def few_steps_changes(num_processes: int | None, changes: Mapping[str, Any], config: str | None) -> dict[str, Any]:
    """The budget that the training has of the one in `changes` or the file `config`; UsageError for many processes,
    which cannot distil."""
    if (num_processes or 1) > 1 or os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            "--few_steps distils the run, which one process does; train without --few_steps, and then give the run to "
            "`fromnoise distill`"
        )
    from fromnoise.recipes.resolve import LENGTHS, read_toml

    budget = changes.get("train.budget")
    if config and not any(changes.get(length) is not None for length in LENGTHS):
        tables = read_toml(Path(config)).get("train")
        budget = tables.get("budget") if isinstance(tables, dict) else None
    if not isinstance(budget, str):  # what else it is, is refused with the other settings
        return {}
    return {"train.budget": f"{(1 - SHARE) * parse_duration(budget):.9g}s"}


def check_place(training: Run) -> None:
    """UsageError where another distillation lies in the place of that of a run which is still to be trained."""
    from fromnoise.run.checkpoints import is_finished
    from fromnoise.run.distill import default_place

    place = default_place(training.path)
    if place.exists() and not is_finished(training.folder):
        raise UsageError(
            f"{place.path} is there, where --few_steps puts what it distils; remove it, or choose another --output_dir"
        )


def then_distil(trained: Run, began: float, max_time: float | None) -> None:
    """Distil the run `trained` beside it, and print how long both took since `began`."""
    from fromnoise.run import Run

    own, now = trained.settings.train.budget, time.monotonic()
    budget = None if own is None else f"{SHARE / (1 - SHARE) * parse_duration(own):.9g}s"
    distilled = Run.distill(trained.path, budget=budget, device=trained.device)
    show_distilling(distilled, now, max_time, trained_since=began)
