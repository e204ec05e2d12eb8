"""Samplers side by side: their error from the same noise, with fewer and more steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.text import count
from fromnoise.figures.image_rows import rows
from fromnoise.model.build import build_sampler
from fromnoise.model.samples import to_arrays
from fromnoise.model.trained_model import TrainedModel

REFERENCE_STEPS = 200  # of Heun on the recommended grid: its own error is far below those that are compared


@dataclass(frozen=True)
class SamplerError:
    """Error of one sampler with one number of steps.

    evaluations: NFE. error: root mean square distance from the reference, in grey levels.
    """

    sampler: str
    steps: int
    evaluations: int
    error: float

    def __str__(self) -> str:
        return f"{self.sampler}, {count(self.steps, 'step')} (NFE {self.evaluations}): error {self.error:.2f}"


def compare_samplers(
    model: TrainedModel,
    samplers: Sequence[str],
    step_counts: Sequence[int],
    seeds: Sequence[int],
    label: str | int | None = None,
) -> tuple[list[SamplerError], Any]:
    """Every sampler with every number of steps from the same noise, against 200 steps of Heun.

    Returns:
        The errors, and a figure of the samples above those of the reference.

    Raises:
        UsageError: for a distilled model and for a sampler that adds noise, which have no reference to converge to, and
            for a grid with a fixed number of steps.
    """
    if model.distilled:
        raise UsageError(
            "this model is distilled and predicts where trajectories end, so that more steps converge to no reference; "
            "compare the samplers of the run that it came from, or evaluate it with --sweep steps=1,2,4"
        )
    if "," in model.sampling.grid:
        raise UsageError(
            f"grid '{model.sampling.grid}' has one number of steps, but several are compared; give a grid by name"
        )
    plans = [_plain_sampler(model, sampler, steps) for sampler in samplers for steps in step_counts]
    labels = model.labels(seeds, label)
    exact, _ = _last(_plain_sampler(model, "heun", REFERENCE_STEPS, grid="auto"), seeds, labels)
    grey_levels = 255 / (model.spec.high - model.spec.low)
    errors, titled = [], []
    for plan in plans:
        x, evaluations = _last(plan, seeds, labels)
        error = float((x - exact).square().mean().sqrt()) * grey_levels
        errors.append(SamplerError(plan.sampling.sampler, plan.sampling.steps, evaluations, error))
        titled.append(
            (f"{plan.sampling.sampler}, {count(plan.sampling.steps, 'step')}: {error:.1f}", to_arrays(model.spec, x))
        )
    titled.append((f"reference: heun, {REFERENCE_STEPS}", to_arrays(model.spec, exact)))
    return errors, rows(titled, [f"seed {seed}" for seed in seeds], beside=True)


def _plain_sampler(model: TrainedModel, sampler: str, steps: int, grid: str | None = None) -> TrainedModel:
    """The model with this sampler; eta and churn, which only some samplers have, are left at their defaults."""
    changes: Any = {"sampler": sampler, "steps": steps, "grid": grid or model.sampling.grid}
    plan = model.with_sampling(**changes, eta=None, churn=None)
    if build_sampler(plan.sampling).stochastic:
        raise UsageError(f"sampler '{sampler}' adds noise, so it has no reference to converge to; leave it out")
    return plan


def _last(model: TrainedModel, seeds: Sequence[int], labels: Tensor | None) -> tuple[Tensor, int]:
    """(the samples as x, NFE)."""
    *_, last = model.steps(seeds, labels)
    return last.x, last.evaluations
