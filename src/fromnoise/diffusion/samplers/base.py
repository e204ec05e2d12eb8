"""What a sampler is: one pure step from t to s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.denoiser import Estimate
from fromnoise.diffusion.process import Process

EstimateFn = Callable[[Tensor, Tensor], Estimate]  # (x, t) -> Estimate: the denoiser with its labels filled in
NoiseFn = Callable[[], Tensor]  # noise like x, each sample's from its own seed; the same within a step
Carry = Any  # what a multistep sampler remembers; None at the first step
T = TypeVar("T", bound=tuple[Any, ...])


class Sampler(ABC):
    """One step from time t to s < t. The loop gives all samples of a batch the same t and s.

    order: the power of the step size with which the error falls once enough steps are remembered, on a smooth
    problem and a grid that is even in `step_variable`: "t", "level" or "log_snr". evaluations: of the network, a step.
    biased: whether its samples have another standard deviation than the data. paper: where it is from.
    """

    order: int = 1
    evaluations: ClassVar[int] = 1
    step_variable: ClassVar[str] = "log_snr"
    paper: ClassVar[str] = ""
    biased: ClassVar[bool] = False

    @property
    def stochastic(self) -> bool:
        """Whether `step` draws fresh noise; a deterministic sampler never does."""
        return False

    @abstractmethod
    def step(
        self, estimate: EstimateFn, process: Process, x: Tensor, t: Tensor, s: Tensor, carry: Carry, noise: NoiseFn
    ) -> tuple[Tensor, Estimate, Carry]:
        """Move x from t to s. Pure: state in, state out.

        Arguments:
            estimate: (x, t) -> Estimate, one evaluation of the denoiser.
            process: the path that x lies on.
            x: (B, C, H, W) at time t.
            t, s: (B,) each, all entries alike.
            carry: what the step before returned, None at first.
            noise: () -> fresh noise like x.

        Returns:
            x at s, the estimate made at t, and what the next step needs.
        """

    def check(self, process: Process) -> None:
        """Raise UsageError where this sampler adds normal noise and the process's prior is another."""
        if self.stochastic and not process.prior.gaussian:
            raise UsageError(
                f"this sampler adds normal noise, but the prior is {type(process.prior).__name__}; "
                "use a deterministic one, such as 'ddim' or 'heun'"
            )


def half_log_snr(process: Process, t: Tensor) -> float:
    """lambda = ln(alpha / sigma) at the one time that all of t (B,) hold; infinite at the ends of some processes."""
    return float(process.log_snr(t[:1])) / 2


def of_one_flow(remembered: Sequence[T], across: int) -> Sequence[T]:
    """As much of what is `remembered`, newest first, as has the newest one's guidance, but at least the first `across`.

    Estimates jump where guidance begins or ends. A polynomial of high degree through both sides goes astray, a line or,
    in a correction, a parabola does not: there a sampler of higher order does what one of second order does.

    Arguments:
        remembered: tuples whose last item is the `Estimate.guidance` of each.
    """
    alike = next((i for i, one in enumerate(remembered) if one[-1] != remembered[0][-1]), len(remembered))
    return remembered[: max(alike, across)]
