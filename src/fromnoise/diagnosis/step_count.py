"""Whether the sampling steps are enough: the same seeds with four times as many steps.

Both sets of samples are compared with training images, by their kernel distance in the features of a classifier.
"""

from __future__ import annotations

from fromnoise.diagnosis.finding import Finding
from fromnoise.diagnosis.sample_comparison import SampleComparison, make_samples
from fromnoise.diagnosis.time_budget import finer_sampling
from fromnoise.metrics.kid import kernel_difference, kernel_distance
from fromnoise.model.build import build_sampler
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions

_ENOUGH = 200  # steps beyond which four times as many change nothing
_NOTED, _CERTAIN = 2.0, 3.0  # standard errors
_GAIN = 0.5  # of the finer distance: a gain that is worth the steps


def step_count(model: TrainedModel, comparison: SampleComparison, speed: float, affordable: bool) -> Finding:
    """The cost of the number of steps.

    Arguments:
        comparison: of the samples of `model`.
        speed: network evaluations in a second.
        affordable: whether samples in four times the steps can be made in reasonable time.
    """
    options, finer = model.sampling, finer_sampling(model)
    steps, sampler = options.steps, options.sampler
    if steps >= _ENOUGH or finer.steps <= steps:
        message = f"{steps} steps of {sampler} are many: more would hardly change a sample."
        return Finding("steps", "ok", message)
    if not affordable:
        message = f"Not checked: at {speed:.0f} network evaluations in a second, {finer.steps} steps take too long."
        return Finding("steps", "warning", message, "use a faster --device, or fewer --steps")
    count = len(comparison.samples.images)
    samples = make_samples(model.with_sampling(steps=finer.steps, grid=finer.grid), count)
    finest = comparison.features.of(samples.images)
    first, second = comparison.distance.value, kernel_distance(finest, comparison.reference).value
    difference = kernel_difference(comparison.of_samples, finest, comparison.reference)
    real = comparison.held_out_distance
    numbers = {
        "steps": steps,
        "kernel_distance": first,
        "finer_steps": finer.steps,
        "finer_kernel_distance": second,
        "difference_stderr": difference.stderr,
        "held_out_kernel_distance": real,
        "samples": count,
    }
    message = (
        f"{count} samples in {steps} steps of {sampler} have kernel distance {first:.3g} from the training images; in "
        f"{finer.steps} steps, {second:.3g} (standard error of the difference: {difference.stderr:.2g})"
    )
    if real is not None:
        message += f"; real held-out images, {real:.3g}"
    cost = first - max(0.0, second)
    if cost < _NOTED * difference.stderr or cost < _GAIN * second:
        return Finding("steps", "ok", f"{message}. More steps would not clearly help.", "", numbers)
    advice = _advice(options, steps, finer)
    if cost < _CERTAIN * difference.stderr:
        return Finding("steps", "warning", f"{message}. More steps seem to help a little.", advice, numbers)
    return Finding("steps", "error", f"{message}. There are too few steps.", advice, numbers)


def _advice(options: SampleOptions, steps: int, finer: SampleOptions) -> str:
    """How to sample as `finer`, and to see what comes of it: a sampler that adds noise has no reference for that."""
    grid = "" if finer.grid == options.grid else f" --grid {finer.grid}"  # times written out have their own number
    advice = f"sample with `--steps {finer.steps}{grid}`"
    if build_sampler(options).stochastic:  # by itself, or by churn or eta
        return advice
    counts = sorted({steps, min(2 * steps, finer.steps), finer.steps})
    compared = f"--compare {options.sampler} --steps {','.join(map(str, counts))}{grid}"
    return f"{advice}; `fromnoise show RUN {compared}`"
