"""How many images a diagnosis can afford to denoise and to sample, from the measured speed of the network."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from fromnoise.diagnosis.images import MOST_IMAGES
from fromnoise.diffusion.vp import VP
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions

FEWEST = 32  # samples and images to denoise
_DENOISING_SECONDS = 6.0  # for one curve
_SAMPLING_SECONDS = 30.0  # for all samples
_MOST_SECONDS = 90.0  # for the fewest samples: a slower network makes none


def evaluations_per_second(model: TrainedModel) -> float:
    """Network evaluations in a second, from the second batch of 32 images."""
    process = model.process
    x = torch.zeros(FEWEST, *model.spec.shape, device=model.device)
    t = torch.full((FEWEST,), (process.t_min + process.t_max) / 2)
    for _ in range(2):
        began = time.perf_counter()
        with torch.no_grad():
            model.denoiser(x, t.double()).x0.sum().item()
        seconds = time.perf_counter() - began
    return FEWEST / max(seconds, 1e-6)


def images_to_denoise(speed: float, levels: int) -> int:
    """256, or 128, 64, 32 where that would take too long at `speed` evaluations a second."""
    affordable = speed * _DENOISING_SECONDS / levels
    return next((n for n in (MOST_IMAGES, MOST_IMAGES // 2, MOST_IMAGES // 4) if n <= affordable), FEWEST)


def finer_sampling(model: TrainedModel) -> SampleOptions:
    """The sampling of `model` in four times the steps, as far as its process has so many."""
    options, process = model.sampling, model.process
    most = int(process.t_max) if isinstance(process, VP) else 10_000
    return replace(options, steps=min(4 * options.steps, most), grid="auto" if "," in options.grid else options.grid)


def samples_to_make(speed: float, options: SampleOptions, finer_steps: int, guidance_input: bool = False) -> int:
    """How many samples are affordable with both numbers of steps: up to 256, and 0 if it were fewer than 32."""
    guided = 2 if (options.guidance_scale != 1 and not guidance_input) or options.autoguidance_scale != 1 else 1
    each = 1.25 * finer_steps * guided * (2 if options.sampler in ("heun", "edm") else 1)
    affordable = int(_SAMPLING_SECONDS * speed / each) // FEWEST * FEWEST
    return min(MOST_IMAGES, affordable)


def too_slow_to_sample(speed: float, options: SampleOptions) -> bool:
    """Whether even 32 samples would take more than a minute and a half."""
    return FEWEST * options.steps > _MOST_SECONDS * speed
