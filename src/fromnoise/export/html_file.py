"""One HTML file that samples in the reader's browser: network, onnxruntime-web and plans inside, nothing loaded.

What is large is compressed by gzip and written in base64; the page unpacks it with DecompressionStream. Noise is that
of `shared_noise`, so that this module can make the page's images and compare them with the model's.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.labels import with_guidance
from fromnoise.common.version import __version__
from fromnoise.diffusion.prediction import determinant
from fromnoise.diffusion.process import noise_times
from fromnoise.export.inpainting import inpainting_plan
from fromnoise.export.onnx_file import network_onnx, with_half_weights
from fromnoise.export.onnx_session import run_session, session_of
from fromnoise.export.plan import sampling_plan, sampling_plans
from fromnoise.export.runtime import Runtime
from fromnoise.export.shared_noise import STREAMS, shared_noise
from fromnoise.export.unrolled import UnrolledSampler
from fromnoise.export.verification import TOLERANCE, in_unit_range
from fromnoise.model.trained_model import TrainedModel

MOST_BYTES = 8_000_000
STEP_COUNTS = (*range(1, 11), 15, 20, 30)
CORRUPTIONS, LEAST_NOISE = 50, 0.001  # rows of its table, and the share of noise in the first
SCRIPTS = ("noise.js", "sampler.js", "words.js", "view.js", "drawing.js", "completion.js", "main.js")
EDIT_STEPS = 20  # or more, unless the model samples in more: a step of inpainting that is too long leaves a seam
CHECKED_SEEDS = 4


@dataclass(frozen=True)
class HtmlFile:
    """content: the page. difference: the largest from torch, black 0 and white 1. half: weights stored as float16."""

    content: bytes
    difference: float
    half: bool


def html_file(model: TrainedModel, title: str, runtime: Runtime) -> HtmlFile:
    """The page of `model`, on the CPU in float32; its weights are stored as float16 where it is too large otherwise.

    Raises:
        UsageError: for settings that the page cannot sample with, and for a model that no page can hold.
        CheckpointError: where the embedded network does not make the model's images.
    """
    if model.sampling.threshold is not None or model.sampling.guidance_rescale:
        raise UsageError(
            "threshold or guidance_rescale is set, but the page has neither; export with --guidance_rescale 0 "
            "--threshold none"
        )
    network = network_onnx(model)
    page = _page(model, title, runtime, network)
    half = len(page) > MOST_BYTES
    if half:
        network = with_half_weights(network)
        page = _page(model, title, runtime, network)
    difference = _difference(_rounded(model) if half else model, network)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the page's network makes images that differ from the model's by {difference:.2g} (black 0, white 1), but "
            f"at most {TOLERANCE:g} was expected; nothing was written"
        )
    return HtmlFile(page, _difference(model, network) if half else difference, half)  # by the rounding, too


def edit_steps(counts: Iterable[int], own: int) -> int:
    """The number of steps to inpaint with, of those in `counts`: the model's own, or 20 if that is more."""
    return min((steps for steps in counts if steps >= max(own, EDIT_STEPS)), default=own)


def corruption_table(model: TrainedModel) -> list[dict[str, float]]:
    """Rows from little to all noise: t, alpha and sigma, and how the network's output there becomes x0."""
    process, prediction = model.process, model.denoiser.prediction
    shares = torch.linspace(LEAST_NOISE, 1, CORRUPTIONS, dtype=torch.float64)
    t = noise_times(process, shares).clamp(min=process.t_min)
    alpha, sigma = process.scales(t)
    _, q = prediction.row(process, t)
    det = determinant(prediction, process, t)
    columns = {
        "t": t,
        "alpha": alpha,
        "sigma": sigma,
        "code": process.code(t).double(),
        "input_scale": prediction.input_scale(process, t),
        "x_weight": q / det,
        "out_weight": -sigma / det,
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def page_samples(model: TrainedModel, network: bytes, seeds: range, labels: Tensor | None) -> Tensor:
    """What the page makes of `seeds`, (B, C, H, W) with black 0 and white 1: its network through onnxruntime."""
    return _samples(model, _OnnxNet(network, model.spec.guidance_input is not None), seeds, labels)


def _samples(model: TrainedModel, net: nn.Module, seeds: range, labels: Tensor | None) -> Tensor:
    plan, spec = sampling_plan(model.sampling, model.denoiser), model.spec
    prior = type(model.process.prior).__name__.lower()
    size = spec.channels * spec.height * spec.width

    def noise(stream: int) -> Tensor:
        rows = [torch.from_numpy(shared_noise(seed + stream * STREAMS, size, prior)) for seed in seeds]
        return torch.stack(rows).reshape(len(seeds), *spec.shape)

    fresh = torch.stack([noise(i + 1) for i in range(len(plan.fresh_steps))]) if plan.fresh_steps else None
    sampler = UnrolledSampler(net, plan, spec, model.sampling)
    with torch.no_grad():
        x = sampler(noise(0), labels, torch.tensor(model.sampling.guidance_scale), fresh)
    return in_unit_range(x, spec.low, spec.high)


class _OnnxNet(nn.Module):
    def __init__(self, content: bytes, takes_scale: bool) -> None:
        super().__init__()
        self.session, self.takes_scale = session_of(content, 1), takes_scale

    def forward(self, x: Tensor, code: Tensor, label: Tensor | None) -> Tensor:
        if label is not None and self.takes_scale and label.ndim == 1:
            label = with_guidance(label, torch.ones(len(x)), 0)
        inputs = {"x": x, "code": code, **({} if label is None else {"label": label})}
        return torch.from_numpy(run_session(self.session, inputs))


def _difference(model: TrainedModel, network: bytes) -> float:
    """The largest difference between the page's images and torch's for the same noise."""
    seeds, classes = range(CHECKED_SEEDS), len(model.spec.classes)
    labels = torch.arange(CHECKED_SEEDS) % classes if classes else None
    expected = _samples(model, model.denoiser.net, seeds, labels)
    apart = float((page_samples(model, network, seeds, labels) - expected).abs().max())
    return apart if apart == apart else float("inf")


def _rounded(model: TrainedModel) -> TrainedModel:
    """The model with its weights as a page of float16 weights has them."""
    net = copy.deepcopy(model.denoiser.net)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.numel() >= 256:
                weight.copy_(weight.half().float())
    return replace(model, denoiser=model.denoiser.with_net(net))


def about(model: TrainedModel, title: str) -> dict[str, Any]:
    """What the page's JavaScript knows of the model."""
    spec, own = model.spec, model.sampling
    offered = sampling_plans(own, model.denoiser, STEP_COUNTS)
    return {
        "title": title,
        "version": __version__,
        "shape": list(spec.shape),
        "low": spec.low,
        "high": spec.high,
        "classes": list(spec.classes),
        "prior": type(model.process.prior).__name__.lower(),
        "clip": own.clip,
        "steps": own.steps,
        "guidance_scale": own.guidance_scale,
        "guidance_most": spec.guidance_input.most if spec.guidance_input else None,
        "sampler": own.sampler,
        "images_seen": model.images,
        "unlabelled": model.sees_unlabelled,
        "edit_steps": edit_steps(offered, own.steps),
        "plans": {str(steps): asdict(plan) for steps, plan in offered.items()},
        "inpainting": {str(steps): asdict(inpainting_plan(own, model.denoiser, steps)) for steps in offered},
        "corruption": corruption_table(model),
    }


def _page(model: TrainedModel, title: str, runtime: Runtime, network: bytes) -> bytes:
    facts = about(model, title)
    packed = {
        "about": json.dumps(facts).encode(),
        "network": network,
        "runtime-script": runtime.script,
        "runtime-binary": runtime.binary,
    }
    text: str = _template().render(
        title=title,
        about=facts,
        guided=any(one["guided"] for plan in facts["plans"].values() for one in plan["evaluations"]),
        style=Markup(_read("page.css")),
        script=Markup(_bundled()),
        packed={name: _packed(content) for name, content in packed.items()},
    )
    return text.encode()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _bundled() -> str:
    """The page's modules one behind the other, without their imports and exports: one inline module."""
    lines = [line for name in SCRIPTS for line in _read(name).splitlines() if not line.startswith("import ")]
    return "\n".join(line.removeprefix("export ") for line in lines)


def _read(name: str) -> str:
    return files("fromnoise.export").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    loader = PackageLoader("fromnoise.export", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("page.html")
