"""The training loop. It yields after every step; the caller previews, saves and stops."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from fromnoise.common.errors import DivergedError
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.settings import TrainOptions
from fromnoise.train.cuda_graph import WARM, Recorded, Work
from fromnoise.train.ema import Ema
from fromnoise.train.hardware import choose_compile, choose_graph
from fromnoise.train.muon import Muon
from fromnoise.train.posthoc import followed
from fromnoise.train.schedule import Budget, learning_rate
from fromnoise.train.step_timer import Pace

MOST_BAD_STEPS = 10  # this many steps in a row without a finite loss, and training stops


class BatchSource(Protocol):
    """Batches as a function of (seed, step): uint8 (B, C, H, W) and labels (B,) or None."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, step: int) -> tuple[Tensor, Tensor | None]: ...

    def images_before(self, step: int) -> int: ...


@dataclass(frozen=True)
class StepLoss:
    """What one step cost: its number (from 1), the images seen after it, its mean loss."""

    step: int
    images: int
    loss: float


@dataclass(frozen=True)
class TrainStep:
    """Where training stands after a step. read: losses fetched from the device since the last yield.

    images_per_second is 0 until the device has been waited for. seconds_left: of a time budget, None without one.
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

    net is the plain network (what the optimiser moves), ema its average or None, profiles the averages that others are
    made of later, by length ({} without); ema may be one of them. `step`, `images`, `total` and
    `skipped` are the whole of the loop's own state: noise, times, order and learning rate are functions of them.
    total is None until a time budget has been measured.
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
    ) -> None:
        self.denoiser, self.objective, self.batches, self.options = denoiser, objective, batches, options
        self.net: nn.Module = denoiser.net
        self.device = next(self.net.parameters()).device
        self.ema = Ema(self.net, options.ema_length) if options.use_ema else None
        self.profiles = followed(self.net, self.ema, options.ema_length) if self.ema and options.posthoc_ema else {}
        self.optimizer = _optimizer(self.net, options)
        self.total, self.budget = total, budget
        self.step = self.images = self.skipped = 0
        self._pending: list[tuple[int, int, Tensor]] = []
        self._bad_in_a_row = 0
        self._busy = 0.0  # seconds of steps since the device was last waited for
        self._rate = torch.zeros((), device=self.device)
        self._work = self._launched()

    def _launched(self) -> Work:
        """`_move`, compiled and recorded where that was chosen; a last batch of an epoch that is smaller, as it is."""
        kind, options = self.device.type, self.options
        graph, compiled = choose_graph(kind, options.cuda_graph).on, choose_compile(kind, options.compile).on
        self._learner = self.denoiser
        if compiled:
            self._learner = self.denoiser.with_net(torch.compile(self.net, dynamic=False))  # type: ignore[arg-type]
        whole: Work = Recorded(self._move, self.device) if graph else self._move

        def launch(x0: Tensor, *rest: Tensor | None) -> Tensor:
            if len(x0) == options.train_batch_size:
                return whole(x0, *rest)
            # Compiling anew for another size would take longer than all such batches.
            with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
                return self._move(x0, *rest)  # type: ignore[arg-type]

        return launch if graph or compiled else self._move

    @property
    def best_net(self) -> nn.Module:
        """The average where there is one, else the network itself."""
        return self.ema.net if self.ema else self.net

    @property
    def others(self) -> dict[float, Ema]:
        """Those of `profiles` that are not `ema` itself."""
        return {length: average for length, average in self.profiles.items() if average is not self.ema}

    @property
    def done(self) -> bool:
        """Whether every planned image has been seen."""
        return self.total is not None and self.images >= self.total

    def steps(self) -> Iterator[TrainStep]:
        """Train until `total` images or the budget's hard end; yields after each step."""
        behind = self.device.type != "cpu"
        pace = Pace(behind, warm=WARM + 1 if behind else 0)
        self.net.train()
        while not self.done and not (self.budget and self.budget.spent(pace.last * (1 + len(self._pending)))):
            began = time.perf_counter()
            rate = self._one_step()
            self._busy += time.perf_counter() - began
            began, busy = time.perf_counter(), self._busy
            read: tuple[StepLoss, ...] = ()
            if self.done or len(self._pending) >= pace.window:
                read = self.read()
                pace.timed(len(read), busy + time.perf_counter() - began)
            speed = self.options.train_batch_size / pace.usual
            if self.budget and read and not self.done and self.budget.plan_due(pace.steps, pace.seconds):
                self.total = self.budget.images(self.images, speed, self.options.train_batch_size)
            left = max(0.0, self.budget.left()) if self.budget else None
            yield TrainStep(self.step, self.images, self.total, rate, speed, read, left)

    def _one_step(self) -> float:
        """One update of the weights and of their average; returns the learning rate it used."""
        images, labels = self.batches.batch(self.step)
        x0 = self.denoiser.spec.encode(images.to(self.device))
        labels = None if labels is None else labels.to(self.device)
        noise = self.objective.draw(
            self.denoiser.process,
            tuple(x0.shape),
            seed=self.options.seed,
            step=self.step,
            device=_noise_device(self.device),
        ).to(self.device)
        rate = learning_rate(self.options, self.images, self.total)
        self._rate.fill_(rate)
        losses = self._work(x0, labels, noise.eps, noise.t, noise.drop_label)
        self.step += 1
        self.images = self.batches.images_before(self.step)
        if self.ema:
            self.ema.update(self.net, self.step)
        for average in self.others.values():
            average.update(self.net, self.step)
        self._pending.append((self.step, self.images, losses.mean()))
        return rate

    def _move(self, x0: Tensor, labels: Tensor | None, eps: Tensor, t: Tensor, drop: Tensor) -> Tensor:
        """Move the weights by one batch; returns its losses (B,).

        Nothing moves where loss or gradient is not finite. That is decided on the device: nothing here waits for it.
        """
        terms = training_loss(self._learner, self.objective, x0, labels, TrainingNoise(eps, t, drop))
        loss = terms.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in self.net.parameters() if p.grad is not None])
        if self.options.max_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(self.net.parameters(), self.options.max_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate
        # The fused optimisers skip an update where this flag is 1; it is what torch's own gradient scaler sets.
        self.optimizer.found_inf = (~(torch.isfinite(loss.detach()) & torch.isfinite(norm))).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        return terms.per_image.detach()

    def read(self) -> tuple[StepLoss, ...]:
        """Wait for the device and fetch the pending losses; DivergedError after too many in a row not finite."""
        if not self._pending:
            return ()
        self._busy = 0.0
        values = torch.stack([loss for _, _, loss in self._pending]).float().tolist()
        read = tuple(StepLoss(s, n, v) for (s, n, _), v in zip(self._pending, values, strict=True))
        self._pending.clear()
        for entry in read:
            bad = not math.isfinite(entry.loss)
            self.skipped += bad
            self._bad_in_a_row = self._bad_in_a_row + 1 if bad else 0
            if self._bad_in_a_row >= MOST_BAD_STEPS:
                raise DivergedError(
                    f"the loss was not a finite number for {MOST_BAD_STEPS} steps in a row, up to step {entry.step}; "
                    "lower --learning_rate or use --mixed_precision no, and delete this run or name another folder"
                )
        return read


def _optimizer(net: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    betas = (0.9, options.adam_beta2)
    if options.optimizer == "muon":
        return Muon(net, options.learning_rate, betas, options.weight_decay, options.momentum)
    # On a GPU a step may be recorded; torch warns of those before it, which are not.
    gpu = next(net.parameters()).is_cuda
    found = (
        torch.optim.Adam(net.parameters(), lr=options.learning_rate, betas=betas, fused=True, capturable=gpu)
        if options.optimizer == "adam"
        else torch.optim.AdamW(
            net.parameters(),
            lr=options.learning_rate,
            betas=betas,
            weight_decay=options.weight_decay,
            fused=True,
            capturable=gpu,
        )
    )
    found._warned_capturable_if_run_uncaptured = True
    return found


def _noise_device(device: torch.device) -> torch.device:
    """Noise is drawn where it is used, except on MPS, whose generator cannot draw float64 times."""
    return torch.device("cpu") if device.type == "mps" else device
