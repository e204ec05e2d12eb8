"""A model as one ONNX file: its denoiser, or its whole sampler for a fixed number of steps.

    denoiser   x (B, C, H, W), t (B,) [, label (B,)]                                   -> x0 (B, C, H, W)
    sampler    noise (B, C, H, W) [, label (B,)] [, guidance_scale ()] [, fresh (n, B, C, H, W)] -> images (B, C, H, W)

Any batch size; float32 outside. What a reader must know (range, prior, classes, times) is in the file's metadata.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.extras import extra
from fromnoise.common.version import __version__
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.export.plan import sampling_plan
from fromnoise.export.unrolled import UnrolledSampler
from fromnoise.model.trained_model import TrainedModel

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference from torch in float32, of images whose black and white are 2 apart."""


class OneDenoiser(nn.Module):
    """x0 = D(x, t, label), with times as float32."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """x0 (B, C, H, W) for x (B, C, H, W) at times t (B,), label int64 (B,)."""
        x0: Tensor = self.denoiser(x, t.double(), label).x0
        return x0


@dataclass(frozen=True)
class OnnxFile:
    """content: the file. inputs: name -> shape as text. difference: the largest from torch, in the network's range.

    half: whether its weights and arithmetic are float16; then `difference` is what that changes.
    """

    content: bytes
    inputs: Mapping[str, str]
    difference: float
    half: bool = False
    opset: int = OPSET


def onnx_file(model: TrainedModel, *, sampler: bool = False, half: bool = False) -> OnnxFile:
    """`model`, on the CPU in float32, as ONNX, checked by onnx and compared with torch through onnxruntime.

    Arguments:
        sampler: the whole of sampling with the model's own settings, instead of one evaluation of the denoiser.
        half: float16 inside.

    Raises:
        UsageError: where onnx, onnxscript or onnxruntime is missing, and for what ONNX cannot hold.
        CheckpointError: where the file does not compute what torch computes.
    """
    with extra("onnx", "export to ONNX"):
        import onnx
        import onnxruntime  # noqa: F401 (checked before the work)
        import onnxscript  # noqa: F401
    module, inputs = _sampler(model) if sampler else _denoiser(model)
    content = _exported(module.eval(), inputs, "images" if sampler else "x0")
    proto = onnx.load_from_string(content)
    _describe(proto, model, sampler)
    if half:
        proto = _in_half(proto)
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()
    difference = max(_difference(content, module, _resized(inputs, batch)) for batch in (1, 3))
    limit = float("inf") if half else TOLERANCE
    if not difference <= limit:
        raise CheckpointError(
            f"the ONNX file differs from the model by {difference:.2g}, but at most {TOLERANCE:g} was expected; "
            "nothing was written"
        )
    return OnnxFile(content, {name: _shape_text(name, value) for name, value in inputs.items()}, difference, half)


def network_onnx(model: TrainedModel) -> bytes:
    """The network alone, on the CPU in float32: x (B, C, H, W), code (B,) [, label (B,)] -> out (B, C, H, W)."""
    with extra("onnx", "export to ONNX"):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    spec = model.spec
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randn(2, *spec.shape, generator=generator), "code": torch.tensor([10.0, 500.0])}
    if spec.classes:
        inputs["label"] = torch.tensor([0, spec.null_label])
    return _exported(model.denoiser.net.eval(), inputs, "out")


def with_half_weights(content: bytes) -> bytes:
    """The same file with its large weights stored as float16 and made float32 when it is loaded: half the size."""
    import onnx

    proto = onnx.load_from_string(content)
    casts = []
    for weight in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(weight)
        if array.dtype != np.float32 or array.size < 256:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    stored: bytes = proto.SerializeToString()
    return stored


def _denoiser(model: TrainedModel) -> tuple[nn.Module, dict[str, Tensor]]:
    spec, process = model.spec, model.process
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(max(process.t_min, 0.05 * process.t_max), process.t_max, 2)
    inputs = {"x": torch.randn(2, *spec.shape, generator=generator), "t": t}
    if spec.classes:
        inputs["label"] = torch.tensor([0, spec.null_label])
    return OneDenoiser(model.denoiser), inputs


def _sampler(model: TrainedModel) -> tuple[nn.Module, dict[str, Tensor]]:
    if model.sampling.threshold is not None:
        raise UsageError(
            f"threshold is {model.sampling.threshold:g}, but ONNX has no quantile; export with --set sample.clip=true "
            "instead of it, or the denoiser alone"
        )
    spec, prior = model.spec, model.process.prior
    plan = sampling_plan(model.sampling, model.denoiser)
    generator = torch.Generator().manual_seed(0)
    inputs = {"noise": torch.stack([prior.sample(spec.shape, generator) for _ in range(2)])}
    if spec.classes:
        inputs["label"] = torch.tensor([0, len(spec.classes) - 1])
    if any(one.guided for one in plan.evaluations):
        inputs["guidance_scale"] = torch.tensor(float(model.sampling.guidance_scale))
    if plan.fresh_steps:
        inputs["fresh"] = torch.randn(len(plan.fresh_steps), 2, *spec.shape, generator=generator)
    return UnrolledSampler(model.denoiser.net, plan, spec, model.sampling), inputs


def _exported(module: nn.Module, inputs: Mapping[str, Tensor], output: str) -> bytes:
    """The ONNX bytes of `module`, traced by torch's dynamo exporter with any batch size."""
    batch = torch.export.Dim("batch", min=1)
    axis = {"guidance_scale": None, "fresh": 1}
    shapes = {name: {axis.get(name, 0): batch} if axis.get(name, 0) is not None else None for name in inputs}
    with _quiet():
        program = torch.onnx.export(
            module,
            kwargs=dict(inputs),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    buffer: bytes = program.model_proto.SerializeToString()
    return buffer


def _describe(proto: Any, model: TrainedModel, sampler: bool) -> None:
    spec, own, process = model.spec, model.sampling, model.process
    about = {
        "fromnoise": __version__,
        "range": json.dumps([spec.low, spec.high]),
        "prior": type(process.prior).__name__.lower(),
        "classes": json.dumps(spec.classes),
        "no_class": str(spec.null_label),
        "times": json.dumps([process.t_min, process.t_max]),
        "images_seen": str(model.images),
    }
    if sampler:
        about |= {"sampler": own.sampler, "steps": str(own.steps), "guidance_scale": f"{own.guidance_scale:g}"}
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)


def _in_half(proto: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with _quiet():
        half = OnnxModel(convert_float_to_float16(proto, keep_io_types=True))
        half.topological_sort()  # the casts at the borders were put last
    return half.model


def run_onnx(content: bytes, inputs: Mapping[str, Any]) -> Any:
    """The first output of the ONNX file for `inputs`, by onnxruntime on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})[0]


def _difference(content: bytes, module: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    with torch.no_grad():
        expected = module(**inputs).numpy()
    apart = float(np.abs(run_onnx(content, inputs) - expected).max())
    return apart if np.isfinite(apart) else float("inf")


def _resized(inputs: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """The inputs for another number of images: the first ones, or the first again."""
    chosen = [i % 2 for i in range(batch)]
    return {
        name: value if not value.ndim else value[:, chosen] if name == "fresh" else value[chosen]
        for name, value in inputs.items()
    }


def _shape_text(name: str, value: Tensor) -> str:
    sizes: Sequence[Any] = list(value.shape)
    sizes = ["B" if i == (1 if name == "fresh" else 0) else size for i, size in enumerate(sizes)]
    return f"{str(value.dtype).removeprefix('torch.')} ({', '.join(map(str, sizes))})"


@contextmanager
def _quiet() -> Any:
    """The exporter's own progress and advice, which are for those who write exporters, are not shown."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
