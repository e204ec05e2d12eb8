"""A training session of a process that writes nothing: process 0 logs, previews, scores and saves.

It trains the same steps, and stops and reads its losses where process 0 does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from fromnoise.common.errors import Interrupted
from fromnoise.train.interrupts import StopRequest
from fromnoise.train.trainer import Trainer, TrainStep
from fromnoise.train.votes import SAVE, STOP

OUT_OF_TIME = 75


def wish_to_stop(stop: StopRequest, deadline: float | None) -> int:
    """The exit code with which to stop after this step; 0 to go on."""
    if stop.received:
        return stop.exit_code
    return OUT_OF_TIME if deadline is not None and time.monotonic() > deadline else 0


def saves_by_steps(trainer: Trainer) -> bool:
    """Whether a checkpoint is due after this step by the number of steps."""
    steps = trainer.options.checkpointing_steps
    return steps is not None and trainer.step % steps == 0 and not trainer.done


def follow(trainer: Trainer, stop: StopRequest, deadline: float | None = None) -> Iterator[TrainStep]:
    """Train to the end beside process 0; yields after every step. Raises what `Session.steps` does."""
    micro_batch = trainer.update.micro_batch
    for step in trainer.steps():
        if trainer.update.micro_batch != micro_batch:
            micro_batch = trainer.update.micro_batch
            print(
                f"process {trainer.group.rank}: memory ran out; from now on {micro_batch} images at a time go through "
                "the network",
                file=sys.stderr,
                flush=True,
            )
        code = trainer.votes.ask(STOP, wish_to_stop(stop, deadline))
        if code and not trainer.done:
            raise Interrupted(f"stopped after {trainer.images:,} images", code)
        if trainer.votes.ask(SAVE, 0) or saves_by_steps(trainer):
            trainer.read_losses()
        yield step
