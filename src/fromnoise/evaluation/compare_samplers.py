"""Samplers side by side: the same noise, fewer and more steps, and how far each ends from where the flow leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.options import replaced
from fromnoise.figures.grid import save
from fromnoise.figures.image_rows import rows
from fromnoise.model.build import build_sampler
from fromnoise.model.legacy import labels_asked, walk
from fromnoise.model.samples import to_arrays
from fromnoise.settings import SampleOptions

if TYPE_CHECKING:
    from fromnoise.run import Run

REFERENCE = 200  # steps of Heun on the recommended grid: its own error is far below what is compared


@dataclass(frozen=True)
class Compared:
    """One sampler with one number of steps. error: RMS distance from the reference, in grey levels."""

    sampler: str
    steps: int
    evaluations: int
    error: float

    def __str__(self) -> str:
        return f"{self.sampler}, {self.steps} steps ({self.evaluations} evaluations): error {self.error:.2f}"


def compare(
    run: Run,
    samplers: Sequence[str],
    step_counts: Sequence[int],
    seeds: Sequence[int],
    label: str | int | None,
    settings: Mapping[str, Any],
    at: str,
    weights: str,
) -> tuple[list[Compared], Path]:
    """Every sampler with every number of steps from the same noise; figures/compare.png shows them above a reference.

    The reference is 200 steps of Heun. Raises UsageError for a sampler that adds noise of its own: it leads elsewhere.
    """
    base = replaced(run.settings, {f"sample.{name}": value for name, value in settings.items()}).sample
    base = replace(base, eta=None, churn=None)  # what one sampler has is nothing to the others
    if "," in base.grid:
        raise UsageError(f"grid '{base.grid}' has one number of steps, but several are compared; give a grid by name")
    plans = []
    for name in samplers:
        changed = replaced(run.settings, {"sample.sampler": name}).sample.sampler
        for steps in step_counts:
            options = replace(base, sampler=changed, steps=steps)
            if build_sampler(options).stochastic:
                raise UsageError(f"sampler '{name}' adds noise of its own, so it has no reference; leave it out")
            plans.append(options)
    labels = labels_asked(seeds, label, run.spec, run.label_counts)
    denoiser = run.denoiser(at, weights)

    def end(options: SampleOptions) -> tuple[Tensor, int]:
        *_, last = walk(run, denoiser, seeds, labels, options)
        return last.x, last.evaluations

    truth, _ = end(replace(base, sampler="heun", grid="auto", steps=REFERENCE))
    grey = 255 / (run.spec.high - run.spec.low)
    found, titled = [], []
    for options in plans:
        x, evaluations = end(options)
        error = float((x - truth).square().mean().sqrt()) * grey
        found.append(Compared(options.sampler, options.steps, evaluations, error))
        titled.append((f"{options.sampler}, {options.steps} steps: {error:.1f}", to_arrays(run.spec, x)))
    titled.append((f"reference: heun, {REFERENCE}", to_arrays(run.spec, truth)))
    picture = rows(titled, [f"seed {seed}" for seed in seeds], beside=True)
    return found, save(picture, run.folder.figures / "compare.png")
