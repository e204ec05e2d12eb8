"""What `fromnoise train DATA --dry_run` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fromnoise.cli.data import inspection_lines
from fromnoise.common.text import count

if TYPE_CHECKING:
    from fromnoise.run.preflight import Cost, Preflight


def dry_run_lines(found: Preflight) -> Iterator[str]:
    """The lines for people."""
    yield from inspection_lines(found.inspection)
    yield f"duplicates: {count(found.duplicates, 'training image')} equal to an earlier one"
    for name, value in found.decisions:
        if name != "images":  # said above
            yield f"{name}: {value}"
    if found.cost is None:
        yield f"run: {found.path} is finished after {found.seen:,} images; nothing is left to train"
        return
    yield from _cost_lines(found, found.cost)
    yield f"disk: {found.disk}"
    yield f"run: {found.path}, " + (f"going on at {found.seen:,} images" if found.seen else "not begun")


def _cost_lines(found: Preflight, cost: Cost) -> Iterator[str]:
    from fromnoise.run.preflight import pace

    yield f"FLOPs an image: {cost.flops:,} of an evaluation, {cost.training_flops:,} of a training step"
    if cost.memory_ran_out:
        yield f"memory: a batch of {found.batch} does not fit; it is trained {cost.micro_batch} images at a time"
    left = cost.images - found.seen
    yield f"pace: {pace(cost.images_per_second, found.batch, left, cost.seconds, cost.peak_bytes)}"
    if cost.preview_seconds:
        yield f"preview: {cost.preview_seconds:.2g} s each"
