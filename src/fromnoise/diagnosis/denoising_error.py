"""Has the network learned? The images it saw, and its error at each noise level beside plain statistics."""

from __future__ import annotations

import shlex
from typing import Any

import torch
from torch import Tensor

from fromnoise.diagnosis.context import Case, ratio
from fromnoise.diagnosis.finding import Finding, Level
from fromnoise.diagnosis.parametrization import Reading
from fromnoise.recipes.recipes import images_needed
from fromnoise.train.checkpoint import BrokenWeightsError

FEWEST_STEPS = 180  # of any size, that pictures take to become readable
CLEARLY = 1.25  # this many times the reference is clearly above it


def weights_finding(case: Case) -> Finding | None:
    """Weights that are no finite numbers, averaged or raw; None where all are."""
    try:
        _ = case.trained
    except BrokenWeightsError:
        says = (
            f"The weights at {case.seen:,} images hold values that are no finite numbers, so nothing can be "
            "made with them. Only the data and the history of training were looked at."
        )
        do = "sample an earlier --checkpoint, or train again into a new folder with a lower --learning_rate"
        return Finding("weights", "fault", says, do, {"checkpoint": case.seen})
    return None


def exposure(case: Case) -> Finding:
    """Images seen against what the recipe needs."""
    seen, recipe = case.seen, case.run.settings.recipe
    needed = max(images_needed(recipe, case.spec), FEWEST_STEPS * case.run.settings.train.train_batch_size)
    numbers = {"seen": seen, "needed": needed}
    says = (
        f"The network has seen {seen:,} images, and pictures of {case.spec.height}x{case.spec.width} become readable "
        f"from about {needed:,} with the recipe {recipe}"
    )
    if seen >= needed:
        return Finding("images seen", "good", f"{says}.", "", numbers)
    source = shlex.quote(case.run.settings.data.source)
    do = f"train longer: `fromnoise train {source} --recipe {recipe} --num_images {2 * needed} --output_dir NEW_FOLDER`"
    level: Level = "fault" if 3 * seen < needed else "worth knowing"
    return Finding("images seen", level, f"{says}: too few so far.", do, numbers)


def denoising(case: Case, reading: Reading) -> Finding:
    """The error by noise level of the better weights, rightly read, against the reference."""
    curves = {name: case.curves[name].mean(1) for name in ("ema", "raw", case.weights) if name in case.curves}
    best = reading.error if reading.wrong else min(curves.values(), key=lambda e: ratio(e, case.reference))
    reference = reading.reference if reading.wrong else case.reference
    numbers: dict[str, Any] = {"ratio": (best / reference).tolist()}
    if not bool(torch.isfinite(best).all()):
        says = "The network's answers are not finite numbers, so its weights are of no use."
        do = "train again into a new folder with a lower --learning_rate, or sample an older --checkpoint"
        return Finding("denoising", "fault", says, do, numbers)
    above = [i for i, times in enumerate((best / reference).tolist()) if times > CLEARLY]
    on_what = "held-out images" if case.held_out is not None else "training images"
    if not above:
        says = (
            f"Asked once on {case.count} {on_what}, the network is below plain statistics at all noise levels "
            f"(its error is {ratio(best, reference):.2f} times theirs in the geometric mean)."
        )
        if reading.wrong:
            says += " That is with its answers read as said above: the training is not to blame."
        return Finding("denoising", "good", says, "", numbers)
    return _not_learned(case, best, reference, above, on_what, numbers)


def _not_learned(
    case: Case, best: Tensor, reference: Tensor, above: list[int], on_what: str, numbers: dict[str, Any]
) -> Finding:
    """The levels where a filter or a look-up does better, and why it may be."""
    worst = max(above, key=lambda i: float(best[i] / reference[i]))
    where = case.levels.words(above)
    error, plain = float(best[worst]), float(reference[worst])
    says = (
        f"At {where} the network's error on {case.count} {on_what} is up to {error / plain:.1f} times that of plain "
        f"statistics ({error:.3g} against {plain:.3g} of the data's variance): it has not learned there."
    )
    strong = [i for i in above if case.levels.strength[i] > 0.4]
    if len(strong) >= 2:
        do = "train longer, or with another --learning_rate; the one-step guesses in report.html show where it fails"
        return Finding("denoising", "fault", says, do, numbers)
    says += " Pictures keep their shapes, but fine grain and edges suffer."
    do = "train longer"
    if not case.run.settings.net.time_conditioning:
        says += " This network is not told the time, so it cannot know how little noise there is."
        do = "use a network that is told the time, such as that of the default recipe"
    return Finding("denoising", "worth knowing", says, do, numbers)


def averaging(case: Case) -> Finding | None:
    """Averaged weights against raw ones; None for a run that keeps no average."""
    if "ema" not in case.curves:
        return None
    times = ratio(case.curves["ema"].mean(1), case.curves["raw"].mean(1))
    numbers = {"ema_to_raw": times}
    if not times > CLEARLY:
        says = f"Averaged weights do as well as raw ones (their error is {times:.2f} times that of raw weights)."
        return Finding("averaged weights", "good", says, "", numbers)
    says = (
        f"The average of the weights lags: asked once, averaged weights have {times:.1f} times the error of raw ones. "
        "It is still cold, or it averages over too much of the training."
    )
    do = "sample with `--weights raw`; train longer, or with a shorter --set train.ema_length=0.05"
    return Finding("averaged weights", "fault" if case.weights == "ema" else "worth knowing", says, do, numbers)
