"""How to load each export, as Markdown for its card; the code in it is run by the tests."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.time_grids import grid_named
from fromnoise.export.onnx_file import OnnxFile
from fromnoise.export.torch_file import TorchFile
from fromnoise.model.trained_model import TrainedModel

LOOP_STEPS = 10


def diffusers_usage(model: TrainedModel, stock: bool) -> str:
    """Five lines, and which code a folder with its own pipeline brings."""
    trust = "" if stock else ", trust_remote_code=True"
    call = "class_labels=[0, 0]" if model.spec.classes else "batch_size=2"
    code = f"""\
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("."{trust})  # this folder, or its name on the Hub
images = pipe({call}, num_inference_steps={model.sampling.steps}).images
images[0].save("sample.png")
"""
    files = "`pipeline.py`, `scheduler/sampler.py` and `unet/network.py`"
    own = "" if stock else f"\n\nThe folder brings its own code, which it runs: {files}. Read it first."
    return _python(code) + own


def onnx_usage(model: TrainedModel, made: OnnxFile, name: str, sampler: bool) -> str:
    """A script that samples with onnxruntime alone, without fromnoise."""
    spec = model.spec
    low, unit = f"{spec.low:g}", f"{spec.high - spec.low:g}"
    draw = "standard_normal" if type(model.process.prior).__name__ == "Normal" else "random"
    label = _label_code(spec, "np.array({}, dtype=np.float32)", "np.arange(4) % {}")
    begin = f"""\
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{name}")
rng = np.random.default_rng(0)
"""
    end = f"""\
pixels = np.clip(255 * (images - {low}) / {unit}, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
row = np.concatenate(list(pixels), axis=1)
Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save("samples.png")
"""
    shape = ", ".join(map(str, spec.shape))
    noise = f"rng.{draw}((4, {shape}), dtype=np.float32)"
    if sampler:
        given = {"noise": noise}
        if "label" in made.inputs:
            given["label"] = label
        if "guidance_scale" in made.inputs:
            given["guidance_scale"] = f"np.array({model.sampling.guidance_scale:g}, dtype=np.float32)"
        if "fresh" in made.inputs:
            given["fresh"] = f"rng.{draw}(({draws_of(made.inputs)}, 4, {shape}), dtype=np.float32)"
        lines = "".join(f'    "{key}": {value},\n' for key, value in given.items())
        middle = f"inputs = {{\n{lines}}}\nimages = session.run(None, inputs)[0]\n"
    else:
        middle = _loop(model, noise, label)
    return _python(begin + middle + end)


def torch_usage(model: TrainedModel, made: TorchFile, name: str, sampler: bool) -> str:
    """Five lines with torch alone, and what they leave open."""
    spec, process = model.spec, model.process
    shape = ", ".join(map(str, spec.shape))
    draw = "randn" if type(process.prior).__name__ == "Normal" else "rand"
    noise = f"torch.{draw}(4, {shape})"
    label = _label_code(spec, "torch.tensor({})", "torch.arange(4) % {}")
    if sampler:
        given = {"noise": noise, "label": label, "guidance_scale": f"torch.tensor({model.sampling.guidance_scale:g})"}
        given["fresh"] = f"torch.{draw}({draws_of(made.inputs)}, 4, {shape})"
        result, words = "images", "the samples"
    else:
        level = float(process.scales(torch.tensor([process.t_max]))[1])
        scaled = noise if level == 1 else f"{level:.7g} * {noise}"
        given = {"x": scaled, "t": f"torch.full((4,), {float(process.t_max)})", "label": label}
        given["guidance_scale"] = "torch.ones(4)"
        result = "x0"
        words = (
            f"the clean images predicted from x at times t in ({process.t_min:g}, {process.t_max:g}]; for the whole of "
        )
        words += "sampling, export with `--sampler`"
    arguments = ", ".join(f"{key}={value}" for key, value in given.items() if key in made.inputs)
    code = f"""\
import torch

model = torch.export.load("{name}").module()
with torch.no_grad():
    {result} = model({arguments})
"""
    rest = f"`{result}` are {words}, with values from {spec.low:g} to {spec.high:g}, for any number of images."
    cpp = "For C++, compile the file once with AOTInductor (`torch._inductor.aoti_compile_and_package`)."
    return f"{_python(code)}\n\n{rest} {cpp}"


def _label_code(spec: ImageSpec, numbers: str, classes: str) -> str:
    """Code that makes the label of four images; "" without conditioning."""
    if spec.conditions:
        means = [round(one.mean, 4) for one in spec.conditions]
        return numbers.format([[float(place % max(1, len(spec.classes))), *means] for place in range(4)])
    return classes.format(len(spec.classes)) if spec.classes else ""


def draws_of(inputs: Mapping[str, str]) -> str:
    """How many draws of fresh noise the input "fresh" has; "0" where there is none."""
    return inputs.get("fresh", "(0,").partition("(")[2].partition(",")[0]


def _loop(model: TrainedModel, noise: str, label: str) -> str:
    """DDIM by hand: x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) x0.

    Of a distilled model, which predicts where a trajectory ends, x_s = alpha_s x0 + sigma_s noise, noise drawn again.
    """
    process = model.process
    own = model.sampling
    grid, steps = (own.grid, own.steps) if model.distilled else ("auto", LOOP_STEPS)
    times = grid_named(grid, process)(process, steps)
    alpha, sigma = process.scales(times)
    columns = zip(times.tolist(), alpha.tolist(), sigma.tolist(), strict=True)
    rows = "".join(f"    ({t:.7g}, {a:.7g}, {s:.7g}),\n" for t, a, s in columns)
    given = f', "label": {label}' if label else ""
    if model.spec.guidance_input:
        low, high = own.guidance_interval or (0, process.t_max)
        scale = f"{own.guidance_scale:g} if {low:g} <= t <= {high:g} else 1"
        given += f', "guidance_scale": np.full(4, {scale}, dtype=np.float32)'
    step = f"    images = (alpha_s * x0 + sigma_s * {noise}).astype(np.float32)"
    if not model.distilled:
        step = """\
    keep = sigma_s / sigma_t
    images = (keep * images + (alpha_s - alpha_t * keep) * x0).astype(np.float32)"""
    return f"""\
path = [  # time t, alpha(t), sigma(t): x_t = alpha x0 + sigma noise
{rows}]
images = {noise} * np.float32(path[0][2])
for (t, alpha_t, sigma_t), (s, alpha_s, sigma_s) in zip(path, path[1:]):
    x0 = session.run(None, {{"x": images, "t": np.full(4, t, dtype=np.float32){given}}})[0]
{step}
"""


def _python(code: str) -> str:
    return f"```python\n{code}```"
