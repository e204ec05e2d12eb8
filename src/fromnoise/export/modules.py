"""A model as one module of tensors, with inputs to trace it by: what ONNX and torch.export hold.

    denoiser   x (B, C, H, W), t (B,) [, label] [, guidance_scale (B,)]                    -> x0 (B, C, H, W)
    sampler    noise (B, C, H, W) [, label] [, guidance_scale ()] [, fresh (n, B, C, H, W)] -> images (B, C, H, W)

label: int64 (B,), or with conditions float32 (B, 1 + K), as in `fromnoise.common.labels`.
Any batch size; float32 outside. The denoiser takes guidance_scale where its network does, and then guidance takes one
evaluation.
"""

from __future__ import annotations

import io
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import joined, with_guidance
from fromnoise.common.version import __version__
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import determinant
from fromnoise.export.plan import sampling_plan
from fromnoise.export.unrolled import UnrolledSampler
from fromnoise.model.trained_model import TrainedModel

OPSET = 18
_BATCH_AXES = {"fresh": 1, "xs": 1, "x0s": 1, "row": None, "draws": None}
MOST_EVALUATIONS = 100  # of an unrolled network: tracing takes seconds for each
TOLERANCE = 1e-4
"""Largest difference from torch in float32, of images whose black and white are 2 apart."""


class OneDenoiser(nn.Module):
    """x0 = D(x, t, label, guidance_scale), with times as float32."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(
        self, x: Tensor, t: Tensor, label: Tensor | None = None, guidance_scale: Tensor | None = None
    ) -> Tensor:
        """x0 (B, C, H, W) for x (B, C, H, W) at times t (B,), label int64 (B,), guidance_scale (B,)."""
        if label is not None and guidance_scale is not None:
            label = with_guidance(label, guidance_scale, len(self.denoiser.spec.conditions))
        x0: Tensor = self.denoiser(x, t.double(), label).x0
        return x0


@dataclass(frozen=True)
class Traceable:
    """module: called by keywords. inputs: two images' worth by name. outputs: the results' names.

    gain: by how much a result changes with the network's output, for each of the two images; the difference that is
    allowed grows with it, since that of rounding does.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    gain: tuple[float, float] = (1.0, 1.0)

    def shapes(self, batch: Any) -> dict[str, dict[int, Any] | None]:
        """For torch's exporters: the axis of each input that is `batch`."""
        axes = {name: batch_axis(name) if value.ndim else None for name, value in self.inputs.items()}
        return {name: None if axis is None else {axis: batch} for name, axis in axes.items()}

    def resized(self, batch: int) -> dict[str, Tensor]:
        """The inputs for another number of images: the two, again and again."""
        chosen = torch.arange(batch) % 2
        return {
            name: value.index_select(batch_axis(name) or 0, chosen) if value.ndim else value
            for name, value in self.inputs.items()
        }

    def difference(self, made: Tensor, expected: Tensor, *batches: int) -> float:
        """The largest of results (N, C, H, W) for `resized` inputs of `batches`, one after the other, in gains above 1.

        Infinite where it is not finite.
        """
        if made.shape != expected.shape:
            return math.inf
        gain = torch.tensor(self.gain).clamp(min=1)[torch.cat([torch.arange(batch) % 2 for batch in batches])]
        apart = float(((made - expected).abs().flatten(1).amax(1) / gain).max())
        return apart if math.isfinite(apart) else math.inf

    def shape_texts(self) -> dict[str, str]:
        """Each input's type and shape, such as "float32 (B, 1, 28, 28)"."""
        return {name: _shape_text(name, value) for name, value in self.inputs.items()}


def batch_axis(name: str) -> int | None:
    """The axis of an input that counts images; None of a row of numbers, which has none."""
    return _BATCH_AXES.get(name, 0)


def exported(given: Traceable) -> bytes:
    """The ONNX bytes of a module, traced by torch's dynamo exporter with any batch size."""
    with quiet():
        program = torch.onnx.export(
            given.module,
            kwargs=dict(given.inputs),
            input_names=list(given.inputs),
            output_names=list(given.outputs),
            dynamic_shapes=given.shapes(torch.export.Dim("batch", min=1)),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    buffer: bytes = program.model_proto.SerializeToString()
    return buffer


def traceable(model: TrainedModel, *, sampler: bool) -> Traceable:
    """The denoiser of `model`, or with `sampler` the whole of sampling with its own settings.

    Raises UsageError for autoguidance, which takes a second network.
    """
    return _sampler(model) if sampler else _denoiser(model)


def evaluations(given: Traceable) -> int:
    """How many times the module calls its network."""
    return len(given.module.plan.evaluations) if isinstance(given.module, UnrolledSampler) else 1


def check_unrolled(given: Traceable, model: TrainedModel, place: str) -> None:
    """UsageError where a sampler takes more evaluations than are unrolled into `place`, with a number that does not."""
    made, own = evaluations(given), model.sampling.steps
    if made <= MOST_EVALUATIONS:
        return
    fewer = next((n for n in range(MOST_EVALUATIONS * own // made + 1, 0, -1) if _few_enough(model, n)), None)
    advice = "" if fewer is None else f"give --steps {fewer}, or "
    raise UsageError(
        f"{own:,} steps take {made:,} evaluations of the network, but at most {MOST_EVALUATIONS} are unrolled into "
        f"{place}; {advice}leave out --sampler"
    )


def _few_enough(model: TrainedModel, steps: int) -> bool:
    try:
        return len(sampling_plan(model.sampling, model.denoiser, steps).evaluations) <= MOST_EVALUATIONS
    except UsageError:
        return False


def about(model: TrainedModel, sampler: bool) -> dict[str, str]:
    """What a reader of the file must know, as text by name."""
    spec, own, process = model.spec, model.sampling, model.process
    known = {
        "fromnoise": __version__,
        "range": json.dumps([spec.low, spec.high]),
        "prior": type(process.prior).__name__.lower(),
        "classes": json.dumps(spec.classes),
        **({"conditions": json.dumps([one.name for one in spec.conditions])} if spec.conditions else {}),
        "no_class": str(spec.null_label),
        **({"guidance_scales": json.dumps([1, spec.guidance_input.most])} if spec.guidance_input else {}),
        "times": json.dumps([process.t_min, process.t_max]),
        "images_seen": str(model.images),
    }
    if sampler:
        known |= {"sampler": own.sampler, "steps": str(own.steps), "guidance_scale": f"{own.guidance_scale:g}"}
    return known


def traced_labels(spec: ImageSpec, second: int) -> dict[str, Tensor]:
    """The input `label` of two images, the first class and the class `second`; {} without conditioning."""
    classes = torch.tensor([0, second]) if spec.classes else None
    numbers = [[one.mean - one.std, one.mean + one.std] for one in spec.conditions]
    label = joined(classes, torch.tensor(numbers).T if numbers else None)
    return {} if label is None else {"label": label}


def _denoiser(model: TrainedModel) -> Traceable:
    spec, process = model.spec, model.process
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(max(process.t_min, 0.05 * process.t_max), process.t_max, 2)
    inputs = {"x": torch.randn(2, *spec.shape, generator=generator), "t": t}
    inputs |= traced_labels(spec, spec.null_label)
    if spec.guidance_input:
        inputs["guidance_scale"] = torch.tensor([spec.guidance_input.most, 1.0])
    times = t.double()
    gain = (process.scales(times)[1] / determinant(model.denoiser.prediction, process, times)).abs()
    return Traceable(OneDenoiser(model.denoiser).eval(), inputs, ("x0",), (float(gain[0]), float(gain[1])))


def _sampler(model: TrainedModel) -> Traceable:
    spec, prior = model.spec, model.process.prior
    plan = sampling_plan(model.sampling, model.denoiser)
    generator = torch.Generator().manual_seed(0)
    inputs = {"noise": torch.stack([prior.sample(spec.shape, generator) for _ in range(2)])}
    inputs |= traced_labels(spec, len(spec.classes) - 1)
    if any(one.guided for one in plan.evaluations):
        inputs["guidance_scale"] = torch.tensor(float(model.sampling.guidance_scale))
    if plan.fresh_steps:
        inputs["fresh"] = torch.randn(len(plan.fresh_steps), 2, *spec.shape, generator=generator)
    return Traceable(UnrolledSampler(model.denoiser.net, plan, spec, model.sampling).eval(), inputs, ("images",))


def _shape_text(name: str, value: Tensor) -> str:
    sizes: Sequence[Any] = ["B" if i == batch_axis(name) else size for i, size in enumerate(value.shape)]
    return f"{str(value.dtype).removeprefix('torch.')} ({', '.join(map(str, sizes))})"


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters' own progress and advice, which are for those who write exporters, are not shown."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
