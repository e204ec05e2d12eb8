"""A stock scheduler's config as settings of ours: the way back of `fromnoise.export.stock`, with reasons where none is.

| pipeline, scheduler | process, prediction | sampler | grid |
|---|---|---|---|
| DDPMScheduler | vp; eps, x0, v | ddpm, ddpm_large | trailing, leading, or the times themselves |
| DDIMScheduler | vp; eps, x0, v | ddim | trailing, or leading with fewer steps than the table |
| any other with betas, where the sampler is chosen | vp; eps, x0, v | ddpm, ddim | trailing |
| FlowMatchEulerDiscreteScheduler | linear, normal; velocity | euler | flow |
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PIPELINES = {"DDPMPipeline": 1000, "DDIMPipeline": 50, "PNDMPipeline": 50}
"""The stock pipelines that are read, and the number of steps that each takes where none is given."""
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "FlowMatchEulerDiscreteScheduler")
CHOICES = {"ddpm": "DDPMScheduler", "ddim": "DDIMScheduler"}
"""Samplers that may stand in the place of a source's scheduler, and diffusers' name of each."""
_PROCESS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")
_VARIANCES = {"fixed_small": "ddpm", "fixed_small_log": "ddpm", "fixed_large": "ddpm_large"}
_PREDICTIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
_WITHOUT_LIMIT = 1e6  # of dynamic thresholding, see `stock`
_FLOW = {  # settings that our Euler on the flow grid has, and no others
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
}


@dataclass(frozen=True)
class ReadScheduler:
    """settings: dotted name -> value. spacing: diffusers' own. reasons: why there are none. notes: what to say."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    spacing: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def with_defaults(kind: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that diffusers' class `kind` takes, as `stored` or by default; nothing is built."""
    arguments = inspect.signature(kind.__init__).parameters
    return {name: stored.get(name, one.default) for name, one in arguments.items() if name != "self"}


def with_sampler(sampler: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the scheduler `CHOICES[sampler]` on the process of another one; ValueError where that has no betas.

    config: all of the other's arguments.
    """
    if missing := [name for name in _PROCESS if name not in config]:
        raise ValueError(f"its scheduler has no {missing[0]}, and --sampler needs a table of betas; leave it out")
    kept = {name: config[name] for name in _PROCESS}
    kept["rescale_betas_zero_snr"] = bool(config.get("rescale_betas_zero_snr", False))
    if sampler == "ddim":
        return {**kept, "clip_sample": False, "timestep_spacing": "trailing", "set_alpha_to_one": True}
    clips = bool(config.get("clip_sample", False)) and config.get("clip_sample_range", 1.0) == 1
    return {**kept, "clip_sample": clips, "timestep_spacing": "trailing", "variance_type": "fixed_small"}


def read_scheduler(scheduler: str, config: Mapping[str, Any], steps: int) -> ReadScheduler:
    """The settings with which ours samples in `steps` steps as `scheduler` does, or the reasons why there are none.

    config: all of the scheduler's arguments, see `with_defaults`.
    """
    if scheduler == "FlowMatchEulerDiscreteScheduler":
        reasons = tuple(
            f"{name} is {config[name]}, and {_shown(one)} is read" for name, one in _FLOW.items() if config[name] != one
        )
        return ReadScheduler(_flow(steps), "flow", reasons)
    reasons = (*_reasons(scheduler, config), *_spacing_reasons(scheduler, config, steps))
    if reasons:
        return ReadScheduler(reasons=reasons)
    table, spacing = config["num_train_timesteps"], config["timestep_spacing"]
    every = steps == table  # then all spacings are one
    notes: tuple[str, ...] = ()
    if every and spacing != "trailing":
        notes = (f"of all {table} steps the spacing '{spacing}' is 'trailing'; with fewer, 'trailing' is used here",)
    grid = "trailing" if every else spacing
    if spacing == "linspace" or (config["steps_offset"] and spacing == "leading"):
        grid = "trailing" if every else _times(config, steps)
    return ReadScheduler(_vp(scheduler, config, steps, grid), spacing, notes=notes)


def _times(config: Mapping[str, Any], steps: int) -> str:
    """DDPMScheduler's stops one by one, as a grid of ours: its index k is our time k + 1."""
    table = config["num_train_timesteps"]
    if config["timestep_spacing"] == "linspace":
        stops = np.linspace(0, table - 1, steps).round()[::-1]
    else:
        stops = (np.arange(steps) * (table // steps))[::-1] + config["steps_offset"]
    return ",".join(f"{stop + 1:g}" for stop in (*stops, -1))


def _flow(steps: int) -> dict[str, Any]:
    return {
        "process.kind": "linear",
        "process.prior": "normal",
        "objective.prediction": "velocity",
        "objective.time_sampling": "logit_normal",
        "sample.sampler": "euler",
        "sample.grid": "flow",
        "sample.steps": steps,
    }


def _vp(scheduler: str, config: Mapping[str, Any], steps: int, grid: str) -> dict[str, Any]:
    thresholding = bool(config["thresholding"]) and config["sample_max_value"] != 1
    return {
        "process.kind": "vp",
        "process.betas": config["beta_schedule"],
        "process.steps": config["num_train_timesteps"],
        "process.beta_start": config["beta_start"],
        "process.beta_end": config["beta_end"],
        "process.zero_terminal_snr": config["rescale_betas_zero_snr"],
        "objective.prediction": _PREDICTIONS[config["prediction_type"]],
        "objective.time_sampling": "discrete",
        "sample.sampler": _VARIANCES[config["variance_type"]] if scheduler == "DDPMScheduler" else "ddim",
        "sample.grid": grid,
        "sample.steps": steps,
        "sample.clip": not thresholding and bool(config["clip_sample"] or config["thresholding"]),
        "sample.threshold": config["dynamic_thresholding_ratio"] if thresholding else None,
    }


def _reasons(scheduler: str, config: Mapping[str, Any]) -> Iterator[str]:
    keeps = bool(config["thresholding"] or config["clip_sample"])
    if config["trained_betas"] is not None:
        yield "its betas are listed one by one (trained_betas)"
    elif config["beta_schedule"] not in _BETAS:
        yield f"beta_schedule is '{config['beta_schedule']}', and {', '.join(_BETAS)} are read"
    if config["prediction_type"] not in _PREDICTIONS:
        yield f"prediction_type is '{config['prediction_type']}', and {', '.join(_PREDICTIONS)} are read"
    if config["thresholding"]:
        most = config["sample_max_value"]
        if most != 1 and not (isinstance(most, int | float) and most >= _WITHOUT_LIMIT):
            yield f"sample_max_value is {most}, and thresholding is read without a limit or with 1"
    elif config["clip_sample"] and config["clip_sample_range"] != 1:
        yield f"clip_sample_range is {config['clip_sample_range']}, and images lie in [-1, 1]"
    if scheduler == "DDPMScheduler" and config["variance_type"] not in _VARIANCES:
        yield f"variance_type is '{config['variance_type']}', and {', '.join(_VARIANCES)} are read"
    if scheduler == "DDIMScheduler" and keeps:
        yield "DDIMScheduler keeps the noise of the unclipped prediction, and our ddim that of the clipped one"
    if scheduler == "DDIMScheduler" and not config["set_alpha_to_one"]:
        yield "set_alpha_to_one is false, and our samplers end at the clean image"


def _spacing_reasons(scheduler: str, config: Mapping[str, Any], steps: int) -> Iterator[str]:
    table, spacing = config["num_train_timesteps"], config["timestep_spacing"]
    if not isinstance(table, int) or isinstance(table, bool) or table < 1:
        yield f"num_train_timesteps is {table}"
        return
    if steps > table:
        yield f"{steps} steps are more than its table of {table}; give fewer --steps"
    # DDIMScheduler steps by a whole stride, wherever its next stop is; DDPMScheduler from stop to stop.
    offset, strides = config["steps_offset"], scheduler == "DDIMScheduler"
    if spacing not in ("leading", "trailing", "linspace") or (spacing == "linspace" and strides and steps != table):
        yield f"timestep_spacing is '{spacing}', and trailing or leading are read"
    elif not isinstance(offset, int) or not 0 <= offset <= table:
        yield f"steps_offset is {offset}"
    elif spacing == "leading" and offset and (strides or table // steps * (steps - 1) + offset >= table):
        yield f"steps_offset is {offset}, and {'0 is read' if strides else 'the last of its steps is beyond the table'}"
    elif config.get("variance_type") == "fixed_large" and steps != table and (spacing == "trailing" or offset):
        yield "variance_type 'fixed_large' leaves noise in images whose last step is not its index 0"
    elif spacing == "trailing" and table % steps and strides:
        yield f"{steps} steps do not divide its table of {table}; give --steps that do"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
