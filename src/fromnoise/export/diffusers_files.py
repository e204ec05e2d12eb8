"""A model as the files of a diffusers folder: stock where a stock pipeline can hold it, else with its own code.

stock                                     with its own code
model_index.json                          model_index.json, pipeline.py
unet/config.json, *.safetensors           unet/network.py, config.json, *.safetensors
scheduler/scheduler_config.json           scheduler/sampler.py, scheduler_config.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from fromnoise.common.errors import CheckpointError
from fromnoise.common.extras import extra
from fromnoise.export.network_source import network_source
from fromnoise.export.plan import sampling_plans
from fromnoise.export.stock import StockPipeline, stock_pipeline
from fromnoise.model.build import net_options
from fromnoise.model.trained_model import TrainedModel
from fromnoise.nets.unet2d import UNet2D
from fromnoise.settings import Settings

STEP_COUNTS = (*range(1, 21), 25, 30, 40, 50, 100)
"""The numbers of steps that a tabulated sampler has tables for, beside the model's own."""
_PORTABLE = Path(__file__).parent / "portable"
_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class DiffusersFiles:
    """files: relative path -> content. stock: the stock pipeline, or None; reasons: why there is none."""

    files: Mapping[str, bytes]
    stock: StockPipeline | None
    reasons: tuple[str, ...] = ()


def diffusers_files(model: TrainedModel, settings: Settings) -> DiffusersFiles:
    """The files with which diffusers samples as `model` does.

    Raises:
        UsageError: where diffusers is not installed, and for a model that no exported folder can hold.
        CheckpointError: for weights that are not finite.
    """
    with extra("diffusers", "export to diffusers"):
        import diffusers
    weights = {name: t.detach().float().cpu().contiguous() for name, t in model.denoiser.net.state_dict().items()}
    broken = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(f"{broken[0]} holds numbers that are not finite; export an earlier --checkpoint")
    stock = stock_pipeline(model, settings.process)
    if isinstance(stock, StockPipeline):
        return DiffusersFiles(_stock_files(model, stock, weights, diffusers), stock)
    return DiffusersFiles(_own_files(model, settings, weights, diffusers.__version__), None, tuple(stock))


def _stock_files(
    model: TrainedModel, stock: StockPipeline, weights: Mapping[str, torch.Tensor], diffusers: Any
) -> dict[str, bytes]:
    net = model.denoiser.net
    assert isinstance(net, UNet2D)
    index = {
        "_class_name": stock.pipeline,
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", stock.scheduler],
        "unet": ["diffusers", "UNet2DModel"],
    }
    scheduler = getattr(diffusers, stock.scheduler)(**stock.settings)
    return {
        "model_index.json": _json(index),
        "scheduler/scheduler_config.json": scheduler.to_json_string().encode(),
        "unet/config.json": net.unet.to_json_string().encode(),
        _WEIGHTS: _tensors({name.removeprefix("unet."): tensor for name, tensor in weights.items()}),
    }


def _own_files(
    model: TrainedModel, settings: Settings, weights: Mapping[str, torch.Tensor], version: str
) -> dict[str, bytes]:
    spec = model.spec
    index = {
        "_class_name": ["pipeline", "FromNoisePipeline"],
        "_diffusers_version": version,
        "scheduler": ["sampler", "TabulatedSampler"],
        "unet": ["network", "Network"],
    }
    network = {
        "_class_name": "Network",
        "_diffusers_version": version,
        "kind": settings.net.kind,
        "options": asdict(net_options(settings)),
        **spec.to_json(),
    }
    return {
        "model_index.json": _json(index),
        "pipeline.py": (_PORTABLE / "pipeline.py").read_bytes(),
        "scheduler/sampler.py": (_PORTABLE / "sampler.py").read_bytes(),
        "scheduler/scheduler_config.json": _json(sampler_config(model, version)),
        "unet/network.py": network_source(settings.net.kind).encode(),
        "unet/config.json": _json(network),
        _WEIGHTS: _tensors({f"net.{name}": tensor for name, tensor in weights.items()}),
    }


def sampler_config(model: TrainedModel, version: str) -> dict[str, Any]:
    """scheduler/scheduler_config.json of a folder with its own code: the sampler's tables and settings."""
    own, spec = model.sampling, model.spec
    plans = {}
    for steps, plan in sampling_plans(own, model.denoiser, STEP_COUNTS).items():
        content = asdict(plan)
        kept = {name: content[name] for name in ("fresh_steps", "evaluations")}
        plans[str(steps)] = {**kept, "sample": asdict(plan.sample)}
    return {
        "_class_name": "TabulatedSampler",
        "_diffusers_version": version,
        "plans": plans,
        "steps": own.steps,
        "guidance_scale": own.guidance_scale,
        "guidance_rescale": own.guidance_rescale,
        "clip": own.clip,
        "threshold": own.threshold,
        "prior": type(model.process.prior).__name__.lower(),
        "low": spec.low,
        "high": spec.high,
        "label_counts": list(model.label_counts),
        "name": own.sampler,
    }


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


def _tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(dict(tensors), metadata={"format": "pt"})
