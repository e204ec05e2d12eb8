"""What a sampler is: one pure step from t to s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process

Ask = Callable[[Tensor, Tensor], Estimate]  # (x, t) -> Estimate: the denoiser with its labels filled in
Fresh = Callable[[], Tensor]  # a new draw of noise like x, each picture's own; the same one if asked twice in a step
Carry = Any  # what a multistep sampler remembers; None at the first step


class Sampler(ABC):
    """One step from time t to s < t. The driver gives all pictures of a batch the same t and s.

    order: the power of the step size with which the error falls once enough steps are remembered, on a smooth
    problem and a grid that is even in the sampler's own variable (`own`: "t", "level" or "log_snr"). evaluations:
    network evaluations a step. biased: whether its images have another spread than those it was asked for. paper: where
    it is from.
    """

    order: int = 1
    evaluations: ClassVar[int] = 1
    own: ClassVar[str] = "log_snr"
    paper: ClassVar[str] = ""
    biased: ClassVar[bool] = False

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
                f"this sampler adds normal noise, but the prior is {type(process.prior).__name__}; "
                "use a deterministic one, such as 'ddim' or 'heun'"
            )


def half_log_snr(process: Process, t: Tensor) -> float:
    """lambda = ln(alpha / sigma) at the one time that all of t (B,) hold; infinite at the ends of some processes."""
    return float(process.log_snr(t[:1])) / 2
