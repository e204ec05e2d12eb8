"""What a sampler is: one pure step from t to s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from fromnoise.denoiser import Estimate
from fromnoise.errors import UsageError
from fromnoise.process import Process

Ask = Callable[[Tensor, Tensor], Estimate]  # (x, t) -> Estimate: the denoiser with its labels filled in
Fresh = Callable[[], Tensor]  # a new draw of noise like x, each picture's own
Carry = Any  # what a multistep sampler remembers; None at the first step


class Sampler(ABC):
    """One step from time t to s < t.

    order: at which power of the step size the error falls on smooth problems. stochastic: whether it asks for
    fresh noise. evaluations: network evaluations a step.
    """

    order: int = 1
    evaluations: int = 1

    @property
    def stochastic(self) -> bool:
        """Whether `step` draws fresh noise; a deterministic sampler never does."""
        return False

    @abstractmethod
    def step(
        self, ask: Ask, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, fresh: Fresh
    ) -> tuple[Tensor, Estimate, Carry]:
        """x (B, C, H, W) at times t (B,) -> (x at s, the estimate made at t, carry). Pure: state in, state out."""

    def check(self, process: Process) -> None:
        """Refuse noise that the process's prior cannot explain."""
        if self.stochastic and not process.prior.gaussian:
            raise UsageError(
                f"sampler '{type(self).__name__}' adds normal noise, but the prior is "
                f"{type(process.prior).__name__}; use a deterministic sampler such as 'ddim'"
            )
