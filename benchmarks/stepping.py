"""Training steps to be measured: our engine without a run folder, the clock, the arithmetic, and a process's memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data import DataOptions
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.model.build import build_denoiser, build_objective
from fromnoise.recipes.model_sizes import TrainingContext
from fromnoise.recipes.resolve import Request
from fromnoise.run.metadata import new_metadata
from fromnoise.train.distributed import ALONE, Group
from fromnoise.train.hardware import choose_precision
from fromnoise.train.trainer import Trainer

Step = Callable[[], int]
"""One training step; says how many images it saw."""

_ENDLESS = 10**12


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return flop_counter.sdpa_flop_count(query, key, value)


def _attention_backward(out: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return flop_counter.sdpa_backward_flop_count(out, query, key, value)


_ATTENTION = {  # torch knows these by their names on GPUs only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def random_images(count: int, channels: int, side: int) -> ArrayData:
    """`count` images of nothing, with labels: what a step costs does not depend on what it sees."""
    g = generator(0, "images to be timed")
    images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=g)
    spec = ImageSpec(channels, side, side, tuple("0123456789"))
    return ArrayData("random", "train", images, torch.arange(count) % 10, spec)


def engine(data: ArrayData, recipe: str, settings: Mapping[str, Any], device: str, group: Group = ALONE) -> Trainer:
    """Our engine at the start of `recipe` on `data`, with no end; one of the processes of `group`."""
    length = {"train.num_images": _ENDLESS}
    context = TrainingContext(data.spec, len(data), device)
    config = Request("digits", recipe, {**length, **settings}).settings(context, DataOptions())
    record = new_metadata(config, data, context)
    autocast = choose_precision(device, config.train.mixed_precision).autocast
    spec = ImageSpec.from_json(record["spec"])
    denoiser = build_denoiser(config, spec, record["sigma_data"], autocast, device).to(device)
    batches = Batches(data.to(device), config.train.train_batch_size, config.train.seed, device=device)
    objective = build_objective(config.objective, denoiser.prediction.sigma_data)
    return Trainer(denoiser, objective, batches, config.train, total=_ENDLESS, group=group)


def stepper(trainer: Trainer) -> Step:
    """The steps of `trainer`, one a call."""
    steps = trainer.steps()

    def step() -> int:
        before = trainer.images
        return next(steps).images - before

    return step


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device != "cpu":
        getattr(torch, device.partition(":")[0]).synchronize()


def timed(step: Step, seconds: float, device: str) -> dict[str, float]:
    """Steps for at least `seconds`, and at least one: how many, of how many images, in how long."""
    wait(device)
    steps, images, began = 0, 0, time.perf_counter()
    while not steps or time.perf_counter() - began < seconds:
        images += step()
        steps += 1
    wait(device)
    return {"steps": steps, "images": images, "seconds": time.perf_counter() - began}


def flops_per_image(step: Step) -> float:
    """Floating-point operations of one step (forward, backward, optimiser) for each of its images."""
    with flop_counter.FlopCounterMode(display=False, custom_mapping=_ATTENTION) as counter:
        images = step()
    return counter.get_total_flops() / images


class Traffic(TorchDispatchMode):
    """Counts the bytes of every tensor read or written, and the operations that did so; views move nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and not func.__name__.startswith("empty"):
            tensors = [part for part in tree_leaves((args, kwargs, out)) if isinstance(part, torch.Tensor)]
            self.bytes += sum(_size(tensor) for tensor in tensors)
            self.operations += 1
        return out


def _size(tensor: torch.Tensor) -> int:
    """Its bytes in memory; what is expanded is there once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def matmul(dtype: torch.dtype, device: str, side: int = 256) -> tuple[Step, int]:
    """(multiply two square matrices, its floating-point operations); as large as it takes to be a while at it."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

    def product() -> int:
        return len(torch.mm(a, b))

    product()  # the first is slow
    if timed(product, 0.0, device)["seconds"] < 0.05 and side < 8192:
        return matmul(dtype, device, 2 * side)
    return product, 2 * side**3


def copying(device: str, megabytes: int = 64) -> tuple[Step, int]:
    """(copy a large tensor, the bytes that are read and written); as large as it takes to be a while at it."""
    source = torch.ones(megabytes * 2**18, device=device)
    target = torch.empty_like(source)

    def copy() -> int:
        return len(target.copy_(source))

    copy()
    if timed(copy, 0.0, device)["seconds"] < 0.005 and megabytes < 4096:
        return copying(device, 4 * megabytes)
    return copy, 2 * megabytes * 2**20


def peak_memory(device: str) -> float:
    """The most memory so far, in MB: of the GPU where there is one, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    try:  # Linux hands the parent's peak to getrusage in the child, but not to this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        import resource
        import sys

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
