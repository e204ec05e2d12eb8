"""Are there steps enough? The run's own sampling against the same with four times the steps, from the same seeds.

    KID = E k(x, x') + E k(y, y') - 2 E k(x, y),   k(x, y) = (x.y / d + 1)^3      Binkowski et al. 2018

Both are held against training images in the features of a classifier of these images. As both start from the same
noise, their difference is known far better than either: its error is a jackknife over groups of seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.run.diagnosing.case import Case
from fromnoise.run.diagnosing.finding import Finding

_ENOUGH = 200  # steps of which four times as many would tell nothing new
_GROUPS = 16  # of seeds
_NOTED, _CERTAIN = 2.0, 3.0  # standard errors
_MORE = 0.5  # of the finer distance: what is worth its steps


@dataclass(frozen=True)
class Pair:
    """Kernel distances of two sets of pictures made from the same seeds, and the standard error of first - second."""

    first: float
    second: float
    stderr: float


def steps(case: Case) -> Finding:
    """What the number of steps costs."""
    sampler, finer = case.options.sampler, case.finer.steps
    few = case.options.grid.count(",") or case.options.steps
    if few >= _ENOUGH or finer <= few:
        return Finding("steps", "good", f"{few} steps of {sampler} are many: more would hardly change a picture.")
    if not case.sample_count:
        says = (
            f"Not looked at: this network looks at {case.evaluations_per_second:.0f} images in a second here, too few "
            f"for samples in {finer} steps."
        )
        return Finding("steps", "worth knowing", says, "use a faster --device, or fewer --steps")
    pair = compared(case, case.samples.images, case.sampled(case.finer).images)
    real = _real(case)
    numbers = {
        "steps": few,
        "kernel_distance": pair.first,
        "finer_steps": finer,
        "finer_kernel_distance": pair.second,
        "difference_stderr": pair.stderr,
        "held_out_kernel_distance": real,
        "samples": len(case.samples.images),
    }
    says = (
        f"{len(case.samples.images)} samples in {few} steps of {sampler} are at kernel distance {pair.first:.3g} from "
        f"the training images; in {finer} steps, at {pair.second:.3g} (the difference is known to {pair.stderr:.2g})"
    )
    if real is not None:
        says += f"; real held-out images, at {real:.3g}"
    cost = pair.first - max(0.0, pair.second)
    if cost < _NOTED * pair.stderr or cost < _MORE * pair.second:
        return Finding("steps", "good", f"{says}. More steps would not help clearly.", "", numbers)
    do = f"sample with `--steps {finer}`; `fromnoise show RUN --compare {sampler} --steps {few},{2 * few},{finer}`"
    if cost < _CERTAIN * pair.stderr:
        return Finding("steps", "worth knowing", f"{says}. More steps seem to help a little.", do, numbers)
    return Finding("steps", "fault", f"{says}. There are too few steps.", do, numbers)


def compared(case: Case, first: Tensor, second: Tensor) -> Pair:
    """The Pair of uint8 pictures (N, C, H, W) and (N, C, H, W), picture i of both from one seed."""
    sets = [_Sums(case.features.of(images).double(), case.reference_features.double()) for images in (first, second)]
    everything = torch.ones(len(first), dtype=torch.bool)
    left_out = []
    for group in range(_GROUPS):
        keep = everything.clone()
        keep[group::_GROUPS] = False
        left_out.append(sets[0].distance(keep) - sets[1].distance(keep))
    spread = torch.tensor(left_out, dtype=torch.float64).var(unbiased=False)
    stderr = float(((_GROUPS - 1) * spread).sqrt())
    return Pair(sets[0].distance(everything), sets[1].distance(everything), stderr)


def _real(case: Case) -> float | None:
    """The same for as many held-out images: what a perfect model would come to; None without them."""
    count = len(case.samples.images)
    if case.held_out is None or len(case.held_out) < count:
        return None
    features = case.features.of(case.pictures(case.held_out, count).images).double()
    return _Sums(features, case.reference_features.double()).distance(torch.ones(count, dtype=torch.bool))


class _Sums:
    """Kernels of features (N, d) with one another and with a reference (M, d), from which any part is summed."""

    def __init__(self, features: Tensor, reference: Tensor) -> None:
        self.inner = _kernel(features, features).fill_diagonal_(0)
        self.outer = _kernel(features, reference).mean(1)
        count = len(reference)
        among = _kernel(reference, reference)
        self.among = float((among.sum() - among.trace()) / (count * (count - 1)))

    def distance(self, keep: Tensor) -> float:
        """The unbiased kernel distance of the rows in `keep`, bool (N,)."""
        count = int(keep.sum())
        inner = float(self.inner[keep][:, keep].sum()) / (count * (count - 1))
        return inner + self.among - 2 * float(self.outer[keep].mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
