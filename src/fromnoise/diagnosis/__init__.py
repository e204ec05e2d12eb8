"""Why are my samples noise? Checks on a trained run, each measured, each with what to do next.

One file a concept; a check takes the Case and returns findings. The order is that of causes: what is wrong with the
data or the training is said before what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fromnoise.common.options import replaced
from fromnoise.diagnosis.classes import labels_and_looks
from fromnoise.diagnosis.context import Case
from fromnoise.diagnosis.denoising_error import averaging, denoising, exposure, weights_finding
from fromnoise.diagnosis.finding import Finding
from fromnoise.diagnosis.history import history
from fromnoise.diagnosis.memorization import copies, overfitting
from fromnoise.diagnosis.parametrization import best_reading, reading_finding
from fromnoise.diagnosis.pixel_range import grey_levels, tint
from fromnoise.diagnosis.report import Diagnosis, diagnosis_section, tell
from fromnoise.diagnosis.step_count import steps
from fromnoise.evaluation.evaluate import say
from fromnoise.model.build import check_sampling

if TYPE_CHECKING:
    from fromnoise.run import Run


def diagnose(run: Run, settings: Mapping[str, Any], at: str = "last", weights: str = "ema") -> Diagnosis:
    """Look at `run` as it samples with `settings`; diagnosis.json and figures/noise-levels.png are written.

    Weights that are no finite numbers are a fault that leaves only the data and the history to look at, and no curves.
    settings: sampling options such as {"steps": 5}, else the run's own. at, weights: as for `Run.sample`. About a
    minute on a CPU. Raises UsageError for sampling that cannot be, DataError where the training images are gone,
    CheckpointError where there is none.
    """
    options = replaced(run.settings, {f"sample.{name}": value for name, value in settings.items()}).sample
    case = Case(run, options, at, weights)
    broken = weights_finding(case)
    if broken:
        return tell(case, [broken, *_of_training(case)], looked=False)
    check_sampling(options, case.denoiser.process, case.spec)
    found = [*_of_training(case), *_of_network(case)]
    sound = not any(finding.level == "fault" for finding in found)
    return tell(case, [*found, *_of_samples(case, sound)])


def _of_training(case: Case) -> Iterator[Finding]:
    say("reading the data and the history of training ...")
    yield grey_levels(case)
    yield from history(case)
    yield exposure(case)


def _of_network(case: Case) -> Iterator[Finding]:
    say(f"denoising {case.count} images at {len(case.levels.times)} noise levels ...")
    reading = best_reading(case)
    yield reading_finding(case, reading)
    averaged = averaging(case)
    if averaged:
        yield averaged
    yield denoising(case, reading)
    yield overfitting(case)


def _of_samples(case: Case, sound: bool) -> Iterator[Finding]:
    """sound: no fault was found in the network."""
    if case.too_slow:
        says = f"Not looked at: this network looks at only {case.evaluations_per_second:.0f} images in a second here."
        yield Finding("samples", "worth knowing", says, "use a faster --device, or fewer --steps")
        return
    say(f"making samples, with {case.options.steps} and with {case.finer.steps} steps ...")
    stepped = steps(case)
    yield stepped
    yield from labels_and_looks(case, sound and stepped.level != "fault")
    yield tint(case)
    copied = copies(case)
    if copied:
        yield copied


__all__ = ["Diagnosis", "Finding", "diagnose", "diagnosis_section"]
