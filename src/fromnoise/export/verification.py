"""Whether an export makes the images that the model makes: the same noise through both, in processes of their own."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import CheckpointError, WriteError
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.export.plan import SamplingPlan, sampling_plan
from fromnoise.model.trained_model import TrainedModel

SAMPLES, SAMPLES_OF_MANY_STEPS, MANY_STEPS = 4, 2, 100
TOLERANCE = 0.002
"""Largest difference that passes, with black 0 and white 1: half a grey level of 8 bits."""


@dataclass(frozen=True)
class Reference:
    """What the model makes of fixed noise, in float32 on the CPU.

    noise: (B, C, H, W). fresh: (draws, B, C, H, W), drawn while sampling. labels: int64 (B,), or None.
    images: (B, C, H, W), black 0 and white 1.
    """

    noise: Tensor
    fresh: Tensor
    labels: Tensor | None
    images: Tensor

    def arrays(self) -> dict[str, Any]:
        """Its inputs as numpy arrays by name."""
        labels = {} if self.labels is None else {"labels": self.labels.numpy()}
        return {"noise": self.noise.numpy(), "fresh": self.fresh.numpy(), **labels}

    def difference(self, images: Tensor) -> float:
        """The largest difference of `images`, black 0 and white 1, from its own; infinite where one is not finite."""
        if images.shape != self.images.shape:
            return float("inf")
        apart = float((images.float().clamp(0, 1) - self.images).abs().max())
        return apart if np.isfinite(apart) else float("inf")


def on_cpu(model: TrainedModel) -> TrainedModel:
    """The same model in float32 on the CPU."""
    old = model.denoiser
    net = old.net if model.device == "cpu" else copy.deepcopy(old.net).cpu()
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return replace(model, denoiser=Denoiser(net, old.process, old.prediction, old.spec).eval())


def reference(model: TrainedModel) -> Reference:
    """What `model`, on the CPU in float32, makes of the noise of the first seeds."""
    seeds = range(SAMPLES if model.sampling.steps < MANY_STEPS else SAMPLES_OF_MANY_STEPS)
    spec, labels = model.spec, model.labels(seeds)
    fresh = fresh_noise(model, sampling_plan(model.sampling, model.denoiser), seeds)
    *_, last = model.steps(seeds, labels)
    images = in_unit_range(last.x, spec.low, spec.high)
    return Reference(start_noise(model.process, spec.shape, seeds), fresh, labels, images)


def fresh_noise(model: TrainedModel, plan: SamplingPlan, seeds: Sequence[int]) -> Tensor:
    """(draws, B, C, H, W): the noise that `model` draws for `seeds` while it samples."""
    spec, prior = model.spec, model.process.prior
    fresh = torch.zeros(len(plan.fresh_steps), len(seeds), *spec.shape)
    for i, step in enumerate(plan.fresh_steps):
        for j, seed in enumerate(seeds):
            fresh[i, j] = prior.sample(spec.shape, generator(0, "fresh noise", step, seed))
    return fresh


def in_unit_range(x: Tensor, low: float, high: float) -> Tensor:
    """Images with values from low to high, clipped, with black 0 and white 1."""
    return ((x.float() - low) / (high - low)).clamp(0, 1)


def run_check(script: str, folder: Path, inputs: Mapping[str, Any]) -> Tensor:
    """The images that `script` of this package makes of `inputs` with the export in `folder`, in a fresh process.

    Raises:
        CheckpointError: where the process fails; with its last line.
        WriteError: where the folder for temporary files is full.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch, "given.npz"), Path(scratch, "made.npy")
        try:
            np.savez(given, **inputs)
        except OSError as error:
            raise WriteError(
                f"cannot write '{given}' ({error.strerror or error}), which the export is compared by; set TMPDIR to a "
                "folder with space"
            ) from error
        done = subprocess.run(
            [sys.executable, "-I", Path(__file__).parent / "portable" / script, folder, given, made],
            env={**os.environ, "HF_MODULES_CACHE": scratch, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise CheckpointError(f"the export could not be loaded again ({last}); nothing was written")
        return torch.from_numpy(np.load(made))
