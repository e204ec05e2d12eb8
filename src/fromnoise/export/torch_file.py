"""A model as one .pt2 file of torch.export: its denoiser, or its whole sampler for a fixed number of steps.

It is loaded by torch alone, in Python, and compiled for C++ by AOTInductor. What a reader must know beside the inputs
(range, prior, classes, times) is in the file too, as fromnoise.json.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fromnoise.common.errors import CheckpointError
from fromnoise.export.modules import TOLERANCE, Traceable, about, check_unrolled, quiet, traceable
from fromnoise.export.verification import run_check
from fromnoise.model.trained_model import TrainedModel

ABOUT = "fromnoise.json"
BATCHES = (1, 3, 65)
"""Numbers of images that are compared: diffusers' networks have a branch at 64, which changes no number."""
_MOST_IMAGES = 2**20
_TRACED = (2, 63)  # on one side of that branch, and apart from 1, which torch would take for a constant


@dataclass(frozen=True)
class TorchFile:
    """content: the file. inputs: name -> shape as text. difference: the largest, in the images' range."""

    content: bytes
    inputs: Mapping[str, str]
    difference: float


def torch_file(model: TrainedModel, *, sampler: bool = False) -> TorchFile:
    """`model`, on the CPU in float32, for torch.export.load, compared with itself in a fresh process.

    Arguments:
        sampler: the whole of sampling with the model's own settings, instead of one evaluation of the denoiser.

    Raises:
        UsageError: for a sampler that cannot be unrolled.
        CheckpointError: where the file, loaded again, does not compute what the model computes.
    """
    given = traceable(model, sampler=sampler)
    check_unrolled(given, model, "a file of torch.export")
    content = _exported(given, about(model, sampler))
    difference = _difference(content, given)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"the file of torch.export differs from the model by {difference:.2g}, but at most {TOLERANCE:g} was "
            "expected; nothing was written"
        )
    return TorchFile(content, given.shape_texts(), difference)


def _exported(given: Traceable, known: Mapping[str, str]) -> bytes:
    """The file's content; its graph holds for any number of images, as the comparison shows."""
    shapes = given.shapes(torch.export.Dim("batch", min=_TRACED[0], max=_TRACED[1]))
    with quiet():
        program = torch.export.export(given.module, (), dict(given.inputs), dynamic_shapes=shapes)
        for size, traced in program.range_constraints.items():
            program.range_constraints[size] = type(traced)(1, _MOST_IMAGES)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(known)})
    return buffer.getvalue()


def _difference(content: bytes, given: Traceable) -> float:
    inputs = given.resized(max(BATCHES))
    with torch.no_grad():
        expected = torch.cat([given.module(**given.resized(batch)) for batch in BATCHES])
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "model.pt2")
        file.write_bytes(content)
        arrays = {name: value.numpy() for name, value in inputs.items()}
        made = run_check("check_torch.py", file, {**arrays, "batches": np.array(BATCHES)})
    return given.difference(made, expected, *BATCHES)
