"""Read an exported file as its reader would, in a process without fromnoise, and make images of given noise.

    python -I reload_export.py FILE GIVEN.npz MADE.npy

FILE is an .onnx file, a .pt2 file of torch.export, or an .html page, whose network runs through onnxruntime with the
page's own tables. GIVEN holds `noise`, and where they are needed `fresh`, `labels`, `guidance_scale` and, for a
denoiser, times `t`; MADE gets what the network or the sampler makes of it, in the network's range. Folders for
diffusers are read by `check_diffusers.py`.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NAMES = {"x": "noise", "label": "labels"}  # of a file's inputs in GIVEN, where they differ
INPUTS = ("x", "t", "label")  # of a denoiser


def session_of(content: bytes) -> Any:
    """The network on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def from_onnx(path: Path, given: Any) -> Any:
    """The first output for the inputs that the file names."""
    session = session_of(path.read_bytes())
    return session.run(None, {one.name: given[NAMES.get(one.name, one.name)] for one in session.get_inputs()})[0]


def from_torch(path: Path, given: Any) -> Any:
    """The denoiser's images, as torch's documentation says to load it."""
    import torch

    module = torch.export.load(path).module()
    inputs = {name: torch.from_numpy(given[NAMES.get(name, name)]) for name in INPUTS if NAMES.get(name, name) in given}
    with torch.no_grad():
        return module(**inputs).numpy()


def from_page(path: Path, given: Any) -> Any:
    """What the page's script computes with its tables: page/sampler.js in numpy."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<script type="application/gzip;base64" id="([\w-]+)">([^<]*)</script>', text)
    packed = {name: gzip.decompress(base64.b64decode(content)) for name, content in found}
    about, session = json.loads(packed["about"]), session_of(packed["network"])
    noise, fresh, labels = given["noise"], list(given["fresh"]), given.get("labels")
    plan = about["plans"][str(about["steps"])]
    predicted: list[Any] = []

    def denoised(at: dict[str, Any], x: Any, label: Any) -> Any:
        inputs = {"x": np.float32(at["input_scale"]) * x, "code": np.full(len(x), at["code"], np.float32)}
        out = session.run(None, inputs if label is None else {**inputs, "label": label})[0]
        return np.float32(at["x_weight"]) * x + np.float32(at["out_weight"]) * out

    for at in plan["evaluations"]:
        x = combined(at["x"], noise, predicted, fresh)
        x0 = denoised(at, x, labels)
        if at["guided"] and labels is not None:
            null = denoised(at, x, np.full_like(labels, len(about["classes"])))
            x0 = null + np.float32(about["guidance_scale"]) * (x0 - null)
        predicted.append(x0.clip(about["low"], about["high"]) if about["clip"] else x0)
    return combined(plan["step_ends"][-1], noise, predicted, fresh)


def combined(weights: dict[str, Any], noise: Any, x0: list[Any], fresh: list[Any]) -> Any:
    """noise z + sum_j x0[j] x0_j + sum_i fresh[i] z_i."""
    total = np.float32(weights["noise"]) * noise
    for weight, image in (*zip(weights["x0"], x0), *zip(weights["fresh"], fresh)):
        total = total + np.float32(weight) * image
    return total


READERS = {".onnx": from_onnx, ".pt2": from_torch, ".html": from_page}


def main(file: str, given_file: str, made_file: str) -> None:
    """Write to `made_file` what `file` makes of the noise in `given_file`."""
    path, given = Path(file), dict(np.load(given_file))
    made = READERS[path.suffix](path, given)
    strangers = ("fromnoise",) if path.suffix == ".pt2" else ("fromnoise", "torch")
    assert not any(name.startswith(strangers) for name in sys.modules)
    np.save(made_file, made)


if __name__ == "__main__":
    main(*sys.argv[1:])
