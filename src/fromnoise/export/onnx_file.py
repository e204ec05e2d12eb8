"""A model as one ONNX file: its denoiser, or its whole sampler for a fixed number of steps, unrolled or as a loop.

What a reader must know beside the inputs (range, prior, classes, times) is in the file's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.extras import extra
from fromnoise.common.labels import with_guidance
from fromnoise.export.int8 import Int8, in_int8
from fromnoise.export.looped import looped
from fromnoise.export.modules import (
    MOST_EVALUATIONS,
    OPSET,
    TOLERANCE,
    Traceable,
    about,
    check_unrolled,
    evaluations,
    exported,
    quiet,
    traceable,
)
from fromnoise.export.onnx_session import run_onnx
from fromnoise.model.trained_model import TrainedModel


@dataclass(frozen=True)
class OnnxFile:
    """content: the file. inputs: name -> shape as text. difference: the largest from torch, in the network's range.

    half: whether its weights and arithmetic are float16; then `difference` is what that changes. int8: how it computes
    in 8 bits, or None; then `difference` is of noise instead of images, and says little. size: of the file in float32.
    """

    content: bytes
    inputs: Mapping[str, str]
    difference: float
    half: bool = False
    int8: Int8 | None = None
    size: int = 0
    opset: int = OPSET

    @property
    def arithmetic(self) -> str:
        """Such as "float32" or "int8 (static)"."""
        return f"int8 ({self.int8})" if self.int8 else "float16" if self.half else "float32"


def onnx_file(model: TrainedModel, *, sampler: bool = False, half: bool = False, int8: Int8 | None = None) -> OnnxFile:
    """`model`, on the CPU in float32, as ONNX, checked by onnx and compared with torch through onnxruntime.

    Arguments:
        sampler: the whole of sampling with the model's own settings, instead of one evaluation of the denoiser.
        half: float16 inside.
        int8: 8 bits inside, "dynamic" or "static": see `fromnoise.export.int8`.

    Raises:
        UsageError: where onnx, onnxscript or onnxruntime is missing, and for what ONNX cannot hold.
        CheckpointError: where the file does not compute what torch computes.
    """
    with extra("onnx", "export to ONNX"):
        import onnx
        import onnxruntime  # noqa: F401 (checked before the work)
        import onnxscript  # noqa: F401
    if sampler and model.sampling.threshold is not None:
        raise UsageError(
            f"threshold is {model.sampling.threshold:g}, but ONNX has no quantile; export with --threshold none "
            "--clip, or the denoiser alone"
        )
    given = traceable(model, sampler=sampler)
    if half or int8:
        check_unrolled(given, model, f"a file with {'--half' if half else '--int8'}")
    many = evaluations(given) > MOST_EVALUATIONS
    proto = looped(given) if many else onnx.load_from_string(exported(given))
    size = proto.ByteSize()
    if half:
        proto = _in_half(proto)
    if int8:
        proto = in_int8(proto, int8, model, sampler)
    for key, value in about(model, sampler).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()
    difference = max(_difference(content, given, batch) for batch in (1, 3))
    limit = float("inf") if half or int8 else TOLERANCE
    if not difference < limit:
        raise CheckpointError(
            f"the ONNX file differs from the model by {difference:.2g}, but at most {TOLERANCE:g} was expected; "
            "nothing was written"
        )
    return OnnxFile(content, given.shape_texts(), difference, half, int8, size)


def network_onnx(model: TrainedModel) -> bytes:
    """The network alone, on the CPU in float32: x (B, C, H, W), code (B,) [, label (B,)] -> out (B, C, H, W).

    Where it takes the guidance scale, label is float32 (B, 2): the class and the scale.
    """
    with extra("onnx", "export to ONNX"):
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    spec = model.spec
    generator = torch.Generator().manual_seed(0)
    inputs = {"x": torch.randn(2, *spec.shape, generator=generator), "code": torch.tensor([10.0, 500.0])}
    if spec.classes:
        inputs["label"] = torch.tensor([0, spec.null_label])
    if spec.guidance_input:
        inputs["label"] = with_guidance(inputs["label"], torch.tensor([spec.guidance_input.most, 1.0]), 0)
    return exported(Traceable(model.denoiser.net.eval(), inputs, ("out",)))


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


def _in_half(proto: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with quiet():
        half = OnnxModel(convert_float_to_float16(proto, keep_io_types=True))
        half.topological_sort()  # the casts at the borders were put last
    return half.model


def _difference(content: bytes, given: Traceable, batch: int) -> float:
    inputs = given.resized(batch)
    with torch.no_grad():
        expected = given.module(**inputs)
    return given.difference(torch.as_tensor(run_onnx(content, inputs)), expected, batch)
