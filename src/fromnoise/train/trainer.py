"""The training loop. It yields after every step; the caller previews, saves and stops."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from fromnoise.common.allocator import keep_freed_memory
from fromnoise.common.threads import THREADS
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise
from fromnoise.settings import TrainOptions
from fromnoise.train.averages import Averages
from fromnoise.train.budget import Budget
from fromnoise.train.cuda_graph import WARMUP
from fromnoise.train.distributed import ALONE, Group
from fromnoise.train.losses import LossReader, StepLoss
from fromnoise.train.lr_schedule import learning_rate
from fromnoise.train.optimizer import build_optimizer
from fromnoise.train.row import lay_in_row
from fromnoise.train.shared_update import build_update
from fromnoise.train.step_timer import StepTimer
from fromnoise.train.votes import OUT_OF_TIME, REPLAN, WINDOW, Votes, checksum

Companion = tuple[nn.Module, torch.optim.Optimizer]
CHECK_EVERY = 100  # steps after which many processes compare their weights


class BatchSource(Protocol):
    """Batches as a function of (seed, step): how many there are."""

    @property
    def steps_per_epoch(self) -> int: ...

    def images_before(self, step: int) -> int: ...


class ImageBatches(BatchSource, Protocol):
    """Batches of images: uint8 (B, C, H, W) and labels (B,) or None, of which a process takes `slots`."""

    def batch(self, step: int, slots: slice) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class TrainStep:
    """The state of training after a step.

    Attributes:
        step: steps so far.
        images: images seen so far, repeats counted.
        total: images planned, None until a time budget has been measured.
        learning_rate: of this step.
        images_per_second: 0 until the device has been waited for.
        read: losses fetched from the device since the last yield.
        seconds_left: of a time budget, None without one.
    """

    step: int
    images: int
    total: int | None
    learning_rate: float
    images_per_second: float
    read: tuple[StepLoss, ...]
    seconds_left: float | None = None


class Trainer:
    """Trains `denoiser` on `objective` with batches from `batches`.

    The loop's own state is `step`, `images`, `total`, the weights, their averages and the optimizer: noise, times,
    order of the images and learning rate are functions of (seed, step). So a resumed run equals an uninterrupted one.

    Arguments:
        total: images to train on, None where `budget` decides.
        budget: the time for the run, measured and planned during training.
        group: the processes that train together; all of them have the same trainer.

    Attributes:
        net: the plain network, which the optimizer moves; never a compiled one.
        averages: its running averages.
        planned: images to train on by the settings; `total` is what the checkpoint was trained towards.
        losses: the losses that are still on the device.
        votes: what the processes agree on in each step.
        log_state: what the log keeps of losses that were read, see `MetricsLog.state`; a checkpoint holds it.
        more_state: what else of the loop's own state a checkpoint holds: counts by name.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Objective,
        batches: BatchSource,
        options: TrainOptions,
        *,
        total: int | None,
        budget: Budget | None = None,
        group: Group = ALONE,
    ) -> None:
        self.group, self.votes = group, Votes(group)
        self.denoiser, self.objective, self.batches, self.options = denoiser, objective, batches, options
        self.total, self.budget, self.planned = total, budget, total
        self.net: nn.Module = denoiser.net
        lay_in_row(self.net)
        self.device = next(self.net.parameters()).device
        # MPS has no generator of float64 times, so its noise is drawn on the CPU.
        self.noise_device = torch.device("cpu") if self.device.type == "mps" else self.device
        self.optimizer = build_optimizer(self.net, options, group)
        self.update = build_update(denoiser, objective, self.optimizer, options, self.votes)
        self.averages = Averages(self.net, options)
        self.losses = LossReader()
        asynchronous = self.device.type != "cpu"
        self.timer = StepTimer(asynchronous, warmup=WARMUP + 1 if asynchronous else 0)
        self._threads = THREADS.number
        self.step = self.images = 0
        self.log_state: Mapping[str, Any] = {}
        self.more_state: dict[str, int] = {}

    @property
    def best_net(self) -> nn.Module:
        """The average where there is one, else the network itself."""
        return self.averages.ema.net if self.averages.ema else self.net

    @property
    def companions(self) -> Mapping[str, Companion]:
        """Networks that are trained beside `net`, and their optimizers, by name; a checkpoint holds them."""
        return {}

    @property
    def done(self) -> bool:
        """Whether every planned image has been seen."""
        return self.total is not None and self.images >= self.total

    def steps(self) -> Iterator[TrainStep]:
        """Train until `total` images or the end of the time budget; yields after each step."""
        self.net.train()
        if self.device.type == "cpu":
            keep_freed_memory()
        checked = False
        while not self.done and not self.votes.ask(OUT_OF_TIME, self._out_of_time()):
            with self.timer:
                if self.group.world > 1 and (self.step % CHECK_EVERY == 0 or not checked):
                    self.votes.checksum, checked = checksum(self.net, self.best_net), True
                rate = learning_rate(self.options, self.images, self.total)
                losses = self.advance(rate)
                self.step += 1
                self.images = self.batches.images_before(self.step)
                self.averages.update(self.step)
                self.losses.add(self.step, self.images, losses)
                window = self.votes.ask(WINDOW, self.timer.window)
                read = self.losses.read() if self.done or self.losses.pending >= window else ()
            if read:
                self.timer.synchronized(len(read))
                self._follow_load()
                self._replan()
            yield self._state(rate, read)

    def advance(self, rate: float) -> Tensor:
        """Move the weights by one step at this learning rate; returns the losses (B,) of its images."""
        return self.update(*self.pairs(self.step, self.group.slots), rate)

    def settle(self) -> None:
        """Wait for the device on the step timer's clock: who waits for it elsewhere would take the time of steps."""
        if self.timer.asynchronous:
            with self.timer:
                torch.cuda.synchronize(self.device) if self.device.type == "cuda" else torch.mps.synchronize()

    def read_losses(self) -> tuple[StepLoss, ...]:
        """Wait for the device and fetch the pending losses, as a checkpoint does; raises DivergedError."""
        self.timer.discard()
        return self.losses.read()

    def pairs(self, step: int, slots: slice) -> tuple[Tensor, Tensor | None, TrainingNoise]:
        """Images and labels of a step after `step` others, those of `slots`, and the noise of the whole batch; on the
        device."""
        images, label = cast(ImageBatches, self.batches).batch(step, slots)
        x0 = self.denoiser.spec.encode(images.to(self.device))
        shape = (self.batches.images_before(step + 1) - self.batches.images_before(step), *x0.shape[1:])
        noise = self.objective.draw(
            self.denoiser.process, shape, seed=self.options.seed, step=step, device=self.noise_device
        )
        return x0, None if label is None else label.to(self.device), noise.to(self.device)

    def _out_of_time(self) -> bool:
        """Whether the time budget would be exceeded by the steps that are queued and one more.

        Of many processes, by two more: they agree on it in the next step.
        """
        steps = min(2, self.group.world) + self.losses.pending
        return self.budget is not None and self.budget.exhausted(self.timer.lasting * steps)

    def _follow_load(self) -> None:
        """Compute with more or fewer threads where the load of the machine has changed."""
        if self.device.type == "cpu":
            THREADS.adapt(self.timer.latest)
            if THREADS.number != self._threads:  # also in a preview or a validation since the last step
                self._threads = THREADS.number
                self.timer.restart()

    def _replan(self) -> None:
        """Plan the total again from the measured speed, where the time budget calls for it."""
        if not self.budget or self.done or not self.timer.steps:  # a GPU's first steps are not timed
            return
        speed = self._speed() / self.cost_ahead(self._speed() * max(0.0, self.budget.remaining()))
        each = 1 / speed + self.budget.evaluation_seconds
        needed = math.inf if self.total is None else (self.total - self.images) * each
        if self.votes.ask(REPLAN, self.budget.should_replan(self.timer.steps, self.timer.seconds, needed)):
            planned = self.budget.plan_images(self.images, speed, self.options.train_batch_size)
            self.total = self.group.broadcast(planned)
            self.votes.put(REPLAN, 0)

    def cost_ahead(self, fit: float) -> float:
        """What the mean image to come costs, where one at the measured speed costs 1 and so many of these fit."""
        return 1.0

    def _speed(self) -> float:
        """Images per second; 0 until the device has been waited for. The last batch of an epoch has fewer images."""
        steps = self.batches.steps_per_epoch
        return self.batches.images_before(steps) / steps / self.timer.median

    def _state(self, rate: float, read: tuple[StepLoss, ...]) -> TrainStep:
        left = max(0.0, self.budget.remaining()) if self.budget else None
        return TrainStep(self.step, self.images, self.total, rate, self._speed(), read, left)
