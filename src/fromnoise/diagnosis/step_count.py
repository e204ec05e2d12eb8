"""Are there steps enough? The run's own sampling against the same with four times the steps, from the same seeds.

Both are held against training images, by their kernel distance in the features of a classifier of these images.
"""

from __future__ import annotations

from fromnoise.diagnosis.context import Case
from fromnoise.diagnosis.finding import Finding
from fromnoise.metrics.kid import kernel_difference, kernel_distance

_ENOUGH = 200  # steps of which four times as many would tell nothing new
_NOTED, _CERTAIN = 2.0, 3.0  # standard errors
_MORE = 0.5  # of the finer distance: what is worth its steps


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
    ours, finest = (case.features.of(made.images) for made in (case.samples, case.sampled(case.finer)))
    first, second = case.samples_away.value, kernel_distance(finest, case.reference_features).value
    difference = kernel_difference(ours, finest, case.reference_features)
    real = case.real_away
    numbers = {
        "steps": few,
        "kernel_distance": first,
        "finer_steps": finer,
        "finer_kernel_distance": second,
        "difference_stderr": difference.stderr,
        "held_out_kernel_distance": real,
        "samples": len(case.samples.images),
    }
    says = (
        f"{len(case.samples.images)} samples in {few} steps of {sampler} are at kernel distance {first:.3g} from "
        f"the training images; in {finer} steps, at {second:.3g} (the difference is known to {difference.stderr:.2g})"
    )
    if real is not None:
        says += f"; real held-out images, at {real:.3g}"
    cost = first - max(0.0, second)
    if cost < _NOTED * difference.stderr or cost < _MORE * second:
        return Finding("steps", "good", f"{says}. More steps would not help clearly.", "", numbers)
    do = f"sample with `--steps {finer}`; `fromnoise show RUN --compare {sampler} --steps {few},{2 * few},{finer}`"
    if cost < _CERTAIN * difference.stderr:
        return Finding("steps", "worth knowing", f"{says}. More steps seem to help a little.", do, numbers)
    return Finding("steps", "fault", f"{says}. There are too few steps.", do, numbers)
