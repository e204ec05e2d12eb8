"""config.json of a run: its settings, and all that follows from them and from the images."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.memory import memory_limit
from fromnoise.common.options import to_dict
from fromnoise.common.seeds import generator
from fromnoise.common.text import in_bytes
from fromnoise.common.version import __version__
from fromnoise.data.image_data import ArrayData
from fromnoise.model.build import build_denoiser, model_spec
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.settings import Settings
from fromnoise.train.state_size import StateSize, state_size

ROWS = 2048
_VALUES = 2**26  # of images whose deviation is taken, by which memory is bounded
_CONTEXT = ("device", "seconds", "planned", "bf16", "flat_share", "mirror_gap", "class_agreement")


def new_metadata(settings: Settings, images: ArrayData, context: TrainingContext) -> dict[str, Any]:
    """The content of a new config.json; UsageError where the parts of `settings` do not go together.

    context: what the recipe went by.
    """
    spec = model_spec(images.spec, settings)
    sigma_data = sigma_data_of(images, spec)
    net = build_denoiser(settings, spec, sigma_data).net
    size = state_size(net, settings.train)
    _check_memory(size, context.device)
    return {
        "settings": to_dict(settings),
        "context": {name: getattr(context, name) for name in _CONTEXT},
        "spec": spec.to_json(),
        "sigma_data": sigma_data,
        "parameters": sum(p.numel() for p in net.parameters()),
        "bytes": asdict(size),
        "data": facts_of_images(images),
        "versions": versions(),
    }


def facts_of_images(images: ArrayData) -> dict[str, Any]:
    """What config.json holds of the training images."""
    return {
        "name": images.name,
        "about": str(images.spec),
        "count": len(images),
        "fingerprint": images.fingerprint,
        "range": images.range,
        "label_counts": images.label_counts.tolist(),
        "notes": list(images.notes),
        **({} if images.conditions is None else {"label_rows": label_rows(images)}),
    }


def label_rows(images: ArrayData) -> list[str]:
    """The labels of up to 2,048 images with conditions, each as text: "3 0.25 nan", the class (0 without) first."""
    chosen = torch.randperm(len(images), generator=generator(0, "label rows"))[:ROWS]
    _, labels = images.fetch(chosen)
    assert labels is not None
    return [" ".join(f"{value:.6g}" for value in row) for row in labels.tolist()]


def rows_of(data: Mapping[str, Any]) -> Tensor | None:
    """What `label_rows` wrote, float32 (M, 1 + K); None where there are no conditions."""
    texts = data.get("label_rows")
    return torch.tensor([[float(part) for part in text.split()] for text in texts]) if texts else None


def versions() -> dict[str, str]:
    """Of fromnoise and what it computes with, by name."""
    return {
        "fromnoise": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **_version_of("diffusers"),
    }


def _check_memory(size: StateSize, device: str) -> None:
    """MemoryLimitError where not even the state of the training fits."""
    limit = memory_limit(device)
    if limit is not None and size.memory > limit:
        raise MemoryLimitError(
            f"the network with its gradients, optimizer and averages takes {in_bytes(size.memory)}, but only "
            f"{in_bytes(limit)} of memory are free; use a smaller network (such as --set net.width=16), or --no_use_ema"
        )


def _version_of(name: str) -> dict[str, str]:
    """{name: version} of an extra's library without importing it, which may take seconds; {} where it is missing."""
    try:
        return {name: metadata.version(name)}
    except metadata.PackageNotFoundError:
        return {}


def context_of(record: dict[str, Any]) -> TrainingContext:
    """What the recipe of a run went by; of one from before that was written down, all but the device and the time."""
    return TrainingContext(ImageSpec.from_json(record["spec"]), record["data"]["count"], **record.get("context", {}))


def on_machine_of(record: dict[str, Any], context: TrainingContext) -> TrainingContext:
    """`context`, but on the machine that the run of `record` was begun on, as far as that was written down."""
    begun = record.get("context", {})
    return replace(context, **{name: begun[name] for name in ("device", "bf16") if name in begun})


def sigma_data_of(images: ArrayData, spec: ImageSpec) -> float:
    """The standard deviation of the pixels of some 4,096 images (fewer where they are large), at least 0.01."""
    affordable = max(1, _VALUES // math.prod(spec.shape))
    some = images.images[:: max(1, len(images) // 4096, -(-len(images) // affordable))]
    return max(0.01, float(spec.encode(some).double().std()))
