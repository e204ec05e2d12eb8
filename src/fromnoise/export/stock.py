"""Whether a stock diffusers pipeline can hold a model, and then its scheduler, with nothing left to defaults.

| process | prediction | sampler | grid | pipeline and scheduler |
|---|---|---|---|---|
| vp | eps, x0, v | ddpm, ddpm_large | trailing | DDPMPipeline, DDPMScheduler |
| vp | eps, x0, v | ddim | trailing | DDIMPipeline, DDIMScheduler |
| linear, normal | velocity | ddim, mix, euler | flow | DDPMPipeline, FlowMatchEulerDiscreteScheduler |

and each with an unconditional UNet2DModel, images in [-1, 1] and sides that it halves evenly. diffusers' time index is
our VP table's k - 1, and the linear path's 1000 t: the code that the network already takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fromnoise.model.trained_model import TrainedModel
from fromnoise.nets.unet2d import UNet2D
from fromnoise.settings import ProcessOptions

_PREDICTIONS = {"Eps": "epsilon", "X0": "sample", "V": "v_prediction"}
VARIANCES = {"ddpm": "fixed_small", "ddpm_large": "fixed_large"}
"""Our samplers with the noise of DDPMScheduler, and its name for the variance of that noise."""
_WITHOUT_LIMIT = 1e6  # of dynamic thresholding, whose stock default cuts at 1


@dataclass(frozen=True)
class StockPipeline:
    """The stock classes' names, and every setting of the scheduler on which the result depends."""

    pipeline: str
    scheduler: str
    settings: dict[str, Any]


def stock_pipeline(model: TrainedModel, process: ProcessOptions) -> StockPipeline | list[str]:
    """The stock pipeline that samples as `model` does, or the reasons why there is none."""
    reasons = [*_network_reasons(model), *_sampling_reasons(model, process)]
    if reasons:
        return reasons
    if process.kind == "linear":
        return StockPipeline(
            "DDPMPipeline", "FlowMatchEulerDiscreteScheduler", {"num_train_timesteps": 1000, "shift": 1.0}
        )
    own = model.sampling
    settings = {
        "num_train_timesteps": process.steps,
        "beta_schedule": process.betas,
        "beta_start": process.beta_start,
        "beta_end": process.beta_end,
        "prediction_type": _PREDICTIONS[type(model.denoiser.prediction).__name__],
        "rescale_betas_zero_snr": process.zero_terminal_snr,
        "timestep_spacing": own.grid,
        "steps_offset": 0,
        "clip_sample": own.clip and own.threshold is None,
        "clip_sample_range": 1.0,
        "thresholding": own.threshold is not None,
        "dynamic_thresholding_ratio": own.threshold or 0.995,
        "sample_max_value": _WITHOUT_LIMIT,
    }
    if own.sampler in VARIANCES:
        more = {"variance_type": VARIANCES[own.sampler]}
        return StockPipeline("DDPMPipeline", "DDPMScheduler", {**settings, **more})
    return StockPipeline("DDIMPipeline", "DDIMScheduler", {**settings, "set_alpha_to_one": True})


def _network_reasons(model: TrainedModel) -> Iterator[str]:
    net, spec = model.denoiser.net, model.spec
    if not isinstance(net, UNet2D):
        yield "its network is not diffusers' UNet2DModel"
        return
    if spec.classes:
        yield "it is conditioned on classes"
    if not net.time_conditioning:
        yield "its network ignores the time"
    if spec.height % net.multiple or spec.width % net.multiple:
        yield f"{spec.height}x{spec.width} images need padding to multiples of {net.multiple}"
    if (spec.low, spec.high) != (-1.0, 1.0):
        yield f"its images lie in [{spec.low:g}, {spec.high:g}], not in [-1, 1]"


def _sampling_reasons(model: TrainedModel, process: ProcessOptions) -> Iterator[str]:
    own, prediction = model.sampling, type(model.denoiser.prediction).__name__
    if process.kind == "linear":
        if process.prior != "normal":
            yield f"its prior is {process.prior}"
        if prediction != "Velocity":
            yield f"it predicts {prediction} on a linear path, and the stock scheduler there takes Velocity"
        if own.sampler not in ("ddim", "mix", "euler") or own.eta:
            yield f"sampler '{own.sampler}' has no stock scheduler on a linear path"
        if own.grid != "flow":
            yield f"grid '{own.grid}' is not that of the stock scheduler, 'flow'"
        if own.clip or own.threshold is not None:
            yield "the stock scheduler does not clip"
        return
    if process.kind != "vp":
        yield f"no stock pipeline runs process '{process.kind}'"
        return
    if prediction not in _PREDICTIONS:
        yield f"it predicts {prediction}, and the stock schedulers take Eps, X0 or V"
    if own.sampler not in (*VARIANCES, "ddim") or own.eta is not None:
        yield f"sampler '{own.sampler}'{'' if own.eta is None else f' with eta {own.eta:g}'} has no stock scheduler"
    if own.grid != "trailing":  # diffusers starts "leading" at full noise, ours at the noise of its first entry
        yield f"grid '{own.grid}' is not that of the stock schedulers, 'trailing'"
    elif process.steps % own.steps:
        yield f"{own.steps} steps do not divide the table's {process.steps}"
    elif own.sampler == "ddpm_large" and process.steps != own.steps:
        yield "the stock scheduler with fixed_large adds noise in the last of fewer steps than the table's"
    if own.sampler == "ddim" and (own.clip or own.threshold is not None):
        yield "the stock DDIM keeps the noise of the unclipped prediction"
