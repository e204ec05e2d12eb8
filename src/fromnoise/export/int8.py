"""An ONNX file with 8-bit weights and arithmetic in convolutions and matrix products, and the samples that it makes.

    dynamic    weights are rounded once; activations in the range that each evaluation finds
    static     activations too in fixed ranges: those seen along the model's own way from noise to images

Both are uint8: products of unlike signs saturate on processors without VNNI, where what was measured would not hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import classes_of, guidance_of
from fromnoise.diffusion.denoiser import Denoiser, Estimate
from fromnoise.diffusion.process import broadcast_like
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export.modules import quiet
from fromnoise.export.onnx_session import run_session, session_of
from fromnoise.export.plan import sampling_plan
from fromnoise.export.verification import fresh_noise
from fromnoise.model.trained_model import TrainedModel

Int8 = Literal["dynamic", "static"]
KINDS: tuple[Int8, ...] = ("dynamic", "static")
_OPERATORS = ["Conv", "MatMul", "Gemm"]
_SEEDS = range(10**6, 10**6 + 16)  # of the images that ranges are taken from, other than those that are measured
_MOST_CALLS = 64  # of the denoiser, evenly along the way


def in_int8(proto: Any, kind: Int8, model: TrainedModel, sampler: bool) -> Any:
    """The ONNX model `proto` of `model` in 8 bits.

    Arguments:
        kind: "dynamic" or "static".
        sampler: whether it is the whole sampler, instead of the denoiser.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = _on_the_way(model, sampler)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as scratch, quiet():
        whole, given, made = (Path(scratch, f"{name}.onnx") for name in ("whole", "given", "made"))
        onnx.save(proto, whole)
        quant_pre_process(whole, given, skip_symbolic_shape=True)
        common = {"op_types_to_quantize": _OPERATORS, "weight_type": QuantType.QUInt8}
        if kind == "dynamic":
            quantize_dynamic(given, made, **common)
        else:
            quantize_static(given, made, Reader(), activation_type=QuantType.QUInt8, per_channel=True, **common)
        return onnx.load(made)


def _on_the_way(model: TrainedModel, sampler: bool) -> Iterator[dict[str, Any]]:
    """Inputs of the file as they come while `model` samples."""
    labels = model.labels(_SEEDS)
    if sampler:
        yield _arrays(sampler_inputs(model, _SEEDS, labels))
        return
    every = -(-len(sampling_plan(model.sampling, model.denoiser).evaluations) // _MOST_CALLS)
    calls: list[tuple[Any, ...]] = []
    hook = model.denoiser.register_forward_hook(lambda _, arguments, __: calls.append(arguments))
    try:
        for number, _ in enumerate(model.steps(_SEEDS, labels)):
            if number % every == 0:
                yield from (_arrays(_denoiser_inputs(model.spec, *call)) for call in calls)
            calls.clear()
    finally:
        hook.remove()


def sampler_inputs(model: TrainedModel, seeds: Sequence[int], labels: Tensor | None) -> dict[str, Tensor]:
    """The inputs with which an exported sampler makes the samples of `seeds`, with labels (N,) or None."""
    plan = sampling_plan(model.sampling, model.denoiser)
    inputs = {"noise": start_noise(model.process, model.spec.shape, seeds)}
    if labels is not None:
        inputs["label"] = labels
    if any(one.guided for one in plan.evaluations):
        inputs["guidance_scale"] = torch.tensor(float(model.sampling.guidance_scale))
    if plan.fresh_steps:
        inputs["fresh"] = fresh_noise(model, plan, seeds)
    return inputs


def _denoiser_inputs(spec: ImageSpec, x: Tensor, t: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
    inputs, count = {"x": x, "t": t.float()}, len(spec.conditions)
    if label is None:
        return inputs
    if spec.guidance_input:
        scales = guidance_of(label, count)
        inputs["guidance_scale"] = torch.ones(len(x)) if scales is None else scales
        label = label[:, : 1 + count] if count else classes_of(label)
    return {**inputs, "label": label}


def _arrays(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in inputs.items()}


class OnnxDenoiser(Denoiser):
    """The denoiser in the ONNX file `content`, in the place of `own`, of which it was made."""

    def __init__(self, content: bytes, own: Denoiser) -> None:
        super().__init__(own.net, own.process, own.prediction, own.spec)
        self.session = session_of(content)

    def forward(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The Estimate for x_t (B, C, H, W) at times t (B,) > 0, label (B,) or None."""
        x0 = torch.from_numpy(run_session(self.session, _denoiser_inputs(self.spec, xt, t, label)))
        alpha, sigma = self.process.scales(t)
        return Estimate(x0, (xt - broadcast_like(alpha, xt) * x0) / broadcast_like(sigma, xt), x0)


def samples_of(content: bytes, model: TrainedModel, num: int, sampler: bool) -> Tensor:
    """uint8 (N, C, H, W): the samples of seeds 0 to num - 1 that the ONNX file of `model` makes."""
    seeds, labels, size = range(num), model.labels(range(num)), model.sampling.batch_size
    if not sampler:
        by_file = replace(model, denoiser=OnnxDenoiser(content, model.denoiser).eval())
        images = by_file.sample_labelled(seeds, labels).images
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    session, pieces = session_of(content), []
    for begin in range(0, num, size):
        part = slice(begin, begin + size)
        inputs = sampler_inputs(model, seeds[part], None if labels is None else labels[part])
        pieces.append(model.spec.decode(torch.from_numpy(run_session(session, inputs))))
    return torch.cat(pieces)
