"""Inpainting as tables of numbers: what `diffusion.editing.inpaint` computes around its evaluations of the network.

RePaint (Lugmayr et al. 2022) changes x between the steps, so that each step starts from x alone:

    x_s = a x_t + sum_j b_j x0_j + c z                           the sampler's step, where the image is to be completed
    x_s = alpha_s x0 + sigma_s eps                                elsewhere, of what is known
    x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2) z        back up, and once more
"""

from __future__ import annotations

from dataclasses import dataclass

from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.export.plan import Combination, Evaluation, Recorder, prepared
from fromnoise.model.build import build_sampler
from fromnoise.settings import SampleOptions


@dataclass(frozen=True)
class InpaintingStep:
    """evaluations: of the network, in their order. end: x_s. In both `noise` is the weight of x_t."""

    evaluations: tuple[Evaluation, ...]
    end: Combination


@dataclass(frozen=True)
class InpaintingPlan:
    """The steps along a grid, and alpha and sigma at its times, one more than steps."""

    steps: tuple[InpaintingStep, ...]
    alpha: tuple[float, ...]
    sigma: tuple[float, ...]


def inpainting_plan(options: SampleOptions, denoiser: Denoiser, steps: int | None = None) -> InpaintingPlan:
    """The plan of inpainting with the sampler, grid and guidance interval that `options` name.

    Arguments, errors: as of `plan.sampling_plan`.

    References: Lugmayr et al. 2022, RePaint, https://arxiv.org/abs/2201.09865
    """
    options, estimator, grid = prepared(options, denoiser, steps)
    sampler = build_sampler(options)
    sampler.check(denoiser.process)
    made = []
    for i in range(len(grid) - 1):
        recorder = Recorder(denoiser, estimator, grid[i : i + 2])
        x, _ = recorder.step(sampler, 0, recorder.unit(0), None)
        made.append(InpaintingStep(tuple(recorder.evaluations), recorder.combination(x)))
    alpha, sigma = denoiser.process.scales(grid)
    return InpaintingPlan(tuple(made), tuple(alpha.tolist()), tuple(sigma.tolist()))
