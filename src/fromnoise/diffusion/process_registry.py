"""Processes by the name that `process.kind` has in the settings: the one place where a new one is added."""

from __future__ import annotations

from collections.abc import Callable

from fromnoise.diffusion.process import PRIORS, VE, Linear, Process
from fromnoise.diffusion.vp import VP, VPContinuous, continuous_limit
from fromnoise.settings import ProcessOptions


def _table(options: ProcessOptions) -> VP:
    return VP(options.betas, options.steps, options.beta_start, options.beta_end, options.zero_terminal_snr)


def _limit(options: ProcessOptions) -> VPContinuous:
    return continuous_limit(_table(options))


PROCESSES: dict[str, Callable[[ProcessOptions], Process]] = {
    "linear": lambda options: Linear(PRIORS[options.prior]),
    "vp": _table,
    "vp_continuous": _limit,
    "ve": lambda options: VE(),
}


def build_process(options: ProcessOptions) -> Process:
    """The process that `options` names."""
    return PROCESSES[options.kind](options)
