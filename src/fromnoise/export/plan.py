"""A sampler, its grid and its guidance as a table of numbers, so that any language can sample in a few lines.

Every sampler here moves x by weighted sums of x, x0, eps and fresh noise, with weights that follow from the times
alone; and eps = (x - alpha x0) / sigma. So the input of evaluation k, and the sample at the end, are

    x_k = a_k z + sum_{j<k} b_kj x0_j + sum_i c_ki z_i

with z the noise at the start, x0_j the clean images predicted so far (after guidance and clipping) and z_i fresh noise.
Nothing is derived again for this: the sampler itself runs once, on vectors of weights instead of images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.denoiser import Denoiser, Estimate, Estimator
from fromnoise.diffusion.guidance import ClassifierFreeGuidance
from fromnoise.diffusion.prediction import determinant
from fromnoise.diffusion.samplers.base import Carry, Sampler
from fromnoise.diffusion.samplers.loop import starting_point
from fromnoise.model.build import build_sampler, build_sampling
from fromnoise.settings import SampleOptions


@dataclass(frozen=True)
class Combination:
    """noise z + sum_j x0[j] x0_j + sum_i fresh[i] z_i."""

    noise: float
    x0: tuple[float, ...]
    fresh: tuple[float, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of the network at input_scale * x and time code `code`, and x0 = x_weight x + out_weight out.

    t: the time. guided: whether guidance acts there. x: how its x is made of what came before.
    """

    t: float
    code: float
    input_scale: float
    x_weight: float
    out_weight: float
    guided: bool
    x: Combination


@dataclass(frozen=True)
class SamplingPlan:
    """What sampling in `steps` steps computes: `evaluations` in their order, then `sample`.

    times: the grid, steps + 1 of them. fresh_steps: the step (0, 1, ...) of each draw of fresh noise. step_ends: x
    after each step, for films. made: how many evaluations were made by the end of each step.
    """

    steps: int
    times: tuple[float, ...]
    fresh_steps: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    step_ends: tuple[Combination, ...]
    made: tuple[int, ...]

    @property
    def sample(self) -> Combination:
        """The image at the end."""
        return self.step_ends[-1]


def sampling_plan(options: SampleOptions, denoiser: Denoiser, steps: int | None = None) -> SamplingPlan:
    """The plan of the sampler, grid, steps and guidance interval that `options` name, for `denoiser`.

    Arguments:
        options: sampling settings that go together on this denoiser.
        denoiser: its process, prediction and images count, its weights do not.
        steps: how many, instead of the options' own.

    Raises:
        UsageError: for autoguidance, which takes a second network, and settings that do not go together.
    """
    options, estimator, grid = prepared(options, denoiser, steps)
    return Recorder(denoiser, estimator, grid).record(options)


def sampling_plans(options: SampleOptions, denoiser: Denoiser, counts: Iterable[int]) -> dict[int, SamplingPlan]:
    """`sampling_plan` of the options' own number of steps and, but for times written out one by one, of `counts`.

    Left out are numbers of steps that the process has too few times for.
    """
    fixed = len(options.grid.split(",")) > 1
    found: dict[int, SamplingPlan] = {}
    for steps in sorted({options.steps} if fixed else {*counts, options.steps}):
        try:
            found[steps] = sampling_plan(options, denoiser, steps)
        except UsageError:
            if steps == options.steps:
                raise
    return found


def prepared(options: SampleOptions, denoiser: Denoiser, steps: int | None) -> tuple[SampleOptions, Estimator, Tensor]:
    """The options with `steps` steps, the estimator whose guidance counts, and the grid; raises as `sampling_plan`."""
    if options.guide_checkpoint is not None:
        raise UsageError(
            f"guide_checkpoint is {options.guide_checkpoint}, but an exported model holds one network; export without "
            "autoguidance: --autoguidance_scale 1 --guide_checkpoint none"
        )
    options = replace(options, steps=steps or options.steps)
    estimator, _, grid = build_sampling(replace(options, clip=False, threshold=None), denoiser)
    return options, estimator, grid


class Recorder:
    """Runs a sampler on vectors of weights: entry 0 is the starting noise, then x0 predictions, then fresh noise."""

    def __init__(self, denoiser: Denoiser, estimator: Estimator, grid: Tensor) -> None:
        self.denoiser, self.grid = denoiser, grid
        self.guidance = estimator if isinstance(estimator, ClassifierFreeGuidance) else None
        self.most = 2 * (len(grid) - 1)  # evaluations, at most
        self.evaluations: list[Evaluation] = []
        self.fresh_steps: list[int] = []

    def record(self, options: SampleOptions) -> SamplingPlan:
        """The plan of one walk along the grid."""
        sampler = build_sampler(options)
        sampler.check(self.denoiser.process)
        x = starting_point(self.denoiser.process, self.unit(0), float(self.grid[0]))
        ends: list[Tensor] = []
        made: list[int] = []
        carry: Carry = None
        for i in range(len(self.grid) - 1):
            x, carry = self.step(sampler, i, x, carry)
            ends.append(x)
            made.append(len(self.evaluations))
        return SamplingPlan(
            steps=len(ends),
            times=tuple(self.grid.tolist()),
            fresh_steps=tuple(self.fresh_steps),
            evaluations=tuple(self.evaluations),
            step_ends=tuple(self.combination(x) for x in ends),
            made=tuple(made),
        )

    def step(self, sampler: Sampler, i: int, x: Tensor, carry: Carry) -> tuple[Tensor, Carry]:
        """Step i of the grid, from x."""
        t, s = self.grid[i : i + 1], self.grid[i + 1 : i + 2]
        x, _, carry = sampler.step(self._estimate, self.denoiser.process, x, t, s, carry, partial(self._fresh, i))
        return x, carry

    def _fresh(self, step: int) -> Tensor:
        """The noise of step `step`: the same within a step."""
        if step not in self.fresh_steps:
            self.fresh_steps.append(step)
        return self.unit(1 + self.most + self.fresh_steps.index(step))

    def _estimate(self, x: Tensor, t: Tensor) -> Estimate:
        process, prediction = self.denoiser.process, self.denoiser.prediction
        alpha, sigma = process.scales(t)
        _, q = prediction.row(process, t)
        det = determinant(prediction, process, t)
        guided = self.guidance is not None and self.guidance.acts_at(t)
        one = Evaluation(
            t=float(t),
            code=float(process.code(t)),
            input_scale=float(prediction.input_scale(process, t)),
            x_weight=float(q / det),
            out_weight=float(-sigma / det),
            guided=guided,
            x=self.combination(x),
        )
        self.evaluations.append(one)
        x0 = self.unit(len(self.evaluations))
        scale = self.guidance.scale if guided and self.guidance else 1.0
        return Estimate(x0, (x - float(alpha) * x0) / float(sigma), x0, scale)

    def unit(self, place: int) -> Tensor:
        """The vector that stands for one image: (1, weights, 1, 1), as samplers take it."""
        unit = torch.zeros(1, 1 + self.most + len(self.grid), 1, 1, dtype=torch.float64)
        unit[0, place] = 1
        return unit

    def combination(self, x: Tensor) -> Combination:
        """What the vector x stands for."""
        weights, fresh = x.flatten().tolist(), 1 + self.most
        return Combination(
            weights[0],
            tuple(weights[1 : 1 + len(self.evaluations)]),
            tuple(weights[fresh : fresh + len(self.fresh_steps)]),
        )
