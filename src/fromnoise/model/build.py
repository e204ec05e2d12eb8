"""From settings to objects: the denoiser, the objective, the sampler and its grid that they name."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import GuidanceInput, ImageSpec
from fromnoise.common.seeds import key
from fromnoise.diffusion.denoiser import Denoiser, Estimator
from fromnoise.diffusion.guidance import (
    Autoguidance,
    ClassifierFreeGuidance,
    Clipping,
    DynamicThresholding,
    GuidanceAsInput,
    check_classes,
    check_guidance_input,
)
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import PREDICTIONS
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.process_registry import build_process
from fromnoise.diffusion.samplers import SAMPLERS, Sampler
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS, ShiftedTimes, TimeDistribution
from fromnoise.diffusion.weighting import WEIGHTINGS, EDMWeighting
from fromnoise.nets import build_net
from fromnoise.settings import NetOptions, ObjectiveOptions, SampleOptions, Settings
from fromnoise.train.hardware import choose_channels_last


def model_spec(spec: ImageSpec, settings: Settings) -> ImageSpec:
    """The images as a model takes them: in the process's range, with classes only where it is conditioned on them."""
    classes = spec.classes if settings.net.class_conditioning else ()
    most, interval = settings.objective.guidance_input, settings.sample.guidance_interval
    guidance = None if most is None else GuidanceInput(most, (interval[0], interval[-1]) if interval else None)
    return dataclasses.replace(spec, low=settings.process.low, high=1.0, classes=classes, guidance_input=guidance)


def net_options(settings: Settings) -> NetOptions:
    """The network as it is built: bounded only where it predicts x0, as all else may leave the images' range."""
    bounded = settings.net.bounded and settings.objective.prediction == "x0"
    return dataclasses.replace(settings.net, bounded=bounded)


def build_denoiser(
    settings: Settings, spec: ImageSpec, sigma_data: float, autocast: torch.dtype | None = None, device: str = "cpu"
) -> Denoiser:
    """A freshly initialised denoiser on the CPU; its weights follow from the seed alone.

    Arguments:
        spec: as `model_spec` gives it.
        sigma_data: standard deviation of the data, where the settings give none.
        autocast: the type that the network computes in, None for float32.
        device: where it will be moved to, by which its memory format is chosen.

    Raises:
        UsageError: where the parts of `settings` do not go together.
    """
    process = build_process(settings.process)
    _times(settings.objective).check(process)
    check_sampling(settings.sample, process, spec)
    _check_guidance_input(settings.objective, spec)
    if settings.sample.guidance_scale != 1 and settings.objective.label_dropout == 0:
        raise UsageError(
            f"guidance_scale is {settings.sample.guidance_scale:g}, but with label_dropout 0 no image is shown without "
            "its class, and guidance needs that; set objective.label_dropout=0.1, or sample.guidance_scale=1"
        )
    prediction = PREDICTIONS[settings.objective.prediction](settings.objective.sigma_data or sigma_data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(settings.train.seed, "initial weights"))
        net = build_net(net_options(settings), spec)
    if choose_channels_last(settings.net.kind, device, settings.train.memory_format).on:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Denoiser(net, process, prediction, spec, autocast)


def build_objective(options: ObjectiveOptions, sigma_data: float, guidance: GuidanceInput | None = None) -> Objective:
    """The training objective that `options` names, for images of standard deviation `sigma_data` unless they set it.

    guidance: the scales that the network takes as an input, where it does.
    """
    weighting = WEIGHTINGS[options.weighting]
    if isinstance(weighting, EDMWeighting):
        weighting = dataclasses.replace(weighting, sigma_data=options.sigma_data or sigma_data)
    return Objective(weighting, _times(options), options.label_dropout, guidance=guidance)


def _times(options: ObjectiveOptions) -> TimeDistribution:
    times = TIME_DISTRIBUTIONS[options.time_sampling]
    return times if options.time_shift == 1 else ShiftedTimes(times, options.time_shift)


def _check_guidance_input(options: ObjectiveOptions, spec: ImageSpec) -> None:
    """UsageError where the network cannot learn to take a guidance scale as an input, as `options` ask for."""
    if options.guidance_input is None:
        return
    given = f"objective.guidance_input is {options.guidance_input:g}, but "
    if not spec.conditioned:
        raise UsageError(f"{given}guidance needs classes, and this model has none; leave it out")
    if options.label_dropout == 0:
        raise UsageError(
            f"{given}with label_dropout 0 no image is shown without its class, and guidance needs that; set "
            "objective.label_dropout=0.1, or leave it out"
        )


def build_sampler(options: SampleOptions) -> Sampler:
    """The sampler that `options` names, with the eta or churn that is given; UsageError where it has none."""
    sampler = SAMPLERS[options.sampler]
    steps = options.grid.count(",") or options.steps
    for name, example, share in (("eta", "ddim", 1), ("churn", "edm", steps)):
        value = getattr(options, name)
        if value is None:
            continue
        if not hasattr(sampler, name):
            raise UsageError(
                f"{name} is {value:g}, but sampler '{options.sampler}' has none; leave it out or use '{example}'"
            )
        sampler = dataclasses.replace(sampler, **{name: value / share})  # type: ignore[type-var]
    return sampler


def check_sampling(options: SampleOptions, process: Process, spec: ImageSpec) -> None:
    """UsageError where sampler, grid, guidance, process and images do not go together."""
    build_sampler(options).check(process)
    grid_named(options.grid, process)(process, options.steps)
    check_classes(options.guidance_scale, spec)
    if (options.autoguidance_scale != 1) != (options.guide_checkpoint is not None):
        raise UsageError(
            f"autoguidance_scale is {options.autoguidance_scale:g} and guide_checkpoint is {options.guide_checkpoint}, "
            "but autoguidance needs both; give --autoguidance_scale 2 --guide_checkpoint N with the images seen at an "
            "earlier checkpoint"
        )
    interval = options.guidance_interval
    if interval is not None and (len(interval) != 2 or not interval[0] < interval[1]):
        raise UsageError(
            f"guidance_interval is {list(interval)}, but two times are needed, the lower first; give [0.1, 0.8]"
        )
    if interval is not None and (interval[0] > process.t_max or interval[1] < process.t_min):
        raise UsageError(
            f"guidance_interval is {list(interval)}, but the times of this process are {process.t_min:g} to "
            f"{process.t_max:g}, so that it would never act; give times among these"
        )
    check_guidance_input(options.guidance_scale, interval, options.guidance_rescale, spec)


def build_sampling(
    options: SampleOptions, denoiser: Estimator, guide: Estimator | None = None
) -> tuple[Estimator, Sampler, Tensor]:
    """(estimator, sampler, grid) that `options` name: the denoiser with its guidance, then its x0 kept in range.

    guide: the denoiser that autoguidance pushes away from, where the options request that.
    """
    check_sampling(options, denoiser.process, denoiser.spec)
    estimator: Estimator = denoiser
    if guide is not None:
        estimator = Autoguidance(estimator, guide, options.autoguidance_scale)
    if options.guidance_scale != 1:
        given = options.guidance_interval
        interval = None if given is None else (given[0], given[1])
        kind = GuidanceAsInput if denoiser.spec.guidance_input else ClassifierFreeGuidance
        estimator = kind(estimator, options.guidance_scale, interval, options.guidance_rescale)
    # After guidance, which may leave the range that its two parts are in.
    if options.threshold is not None:
        estimator = DynamicThresholding(estimator, options.threshold)
    elif options.clip:
        estimator = Clipping(estimator)
    grid = grid_named(options.grid, denoiser.process)(denoiser.process, options.steps)
    return estimator, build_sampler(options), grid
