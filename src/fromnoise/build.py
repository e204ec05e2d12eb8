"""From names to things: a Config becomes a process, a denoiser, an objective, a sampler and its grid."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from fromnoise.config import Config
from fromnoise.denoiser import Denoiser, Estimator
from fromnoise.guidance import Clipped, Guided
from fromnoise.images import ImageSpec
from fromnoise.model_options import ProcessOptions
from fromnoise.nets import build_net
from fromnoise.objective import Objective
from fromnoise.prediction import PREDICTIONS
from fromnoise.process import PRIORS, VE, VP, Linear, Process
from fromnoise.samplers import SAMPLERS, Sampler
from fromnoise.samplers.options import SampleOptions
from fromnoise.seeds import key
from fromnoise.times import GRIDS, TIMES
from fromnoise.weighting import WEIGHTINGS


def build_process(options: ProcessOptions) -> Process:
    """The process that `options` names."""
    if options.kind == "vp":
        return VP(options.betas, options.steps)
    if options.kind == "ve":
        return VE()
    return Linear(PRIORS[options.prior])


def ranged(spec: ImageSpec, options: ProcessOptions) -> ImageSpec:
    """`spec` with the float range that the process works in: [-1, 1], or [0, 1] as in the chapter."""
    return dataclasses.replace(spec, low=options.low, high=1.0)


def build_denoiser(config: Config, spec: ImageSpec, sigma_data: float, autocast: torch.dtype | None = None) -> Denoiser:
    """A freshly initialised denoiser on the CPU; its weights follow from the seed alone.

    Raises UsageError where the parts of `config` do not go together.
    """
    process = build_process(config.process)
    objective(config).times.check(process)
    check_sampling(config.sample, process)
    prediction = PREDICTIONS[config.objective.prediction](config.objective.sigma_data or sigma_data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(config.train.seed, "initial weights"))
        net = build_net(config.net, spec)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Denoiser(net, process, prediction, spec, autocast)


def objective(config: Config) -> Objective:
    """The training objective of `config`."""
    options = config.objective
    return Objective(WEIGHTINGS[options.weighting], TIMES[options.times], options.label_dropout)


def check_sampling(options: SampleOptions, process: Process) -> None:
    """UsageError where sampler, grid and process do not go together."""
    SAMPLERS[options.sampler].check(process)
    GRIDS[options.grid].check(process)


def build_sampling(options: SampleOptions, denoiser: Estimator) -> tuple[Estimator, Sampler, Tensor]:
    """(the denoiser to ask, the sampler, the grid): guidance first, then clipping of what guidance says."""
    check_sampling(options, denoiser.process)
    asked: Estimator = denoiser
    if options.guidance_scale != 1:
        asked = Guided(asked, options.guidance_scale)
    if options.clip:
        asked = Clipped(asked)
    return asked, SAMPLERS[options.sampler], GRIDS[options.grid](denoiser.process, options.steps)
