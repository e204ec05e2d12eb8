"""Whether the network has learned: the images it saw, and its error at each noise level beside baselines."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fromnoise.common.text import quoted
from fromnoise.diagnosis.denoising_curves import DenoisingCurves, geometric_ratio
from fromnoise.diagnosis.finding import Finding, Level
from fromnoise.diagnosis.training_record import TrainingRecord

FEWEST_STEPS = 180  # optimizer steps, of any batch size, until samples are legible
CLEARLY = 1.25  # this many times the reference is clearly above it


def broken_weights(images_seen: int) -> Finding:
    """Weights that are not finite, which leave only the data and the history of training to check."""
    message = (
        f"The weights at {images_seen:,} images hold values that are not finite, so they cannot make samples. Only the "
        "data and the history of training were checked."
    )
    advice = "sample an earlier --checkpoint, or train again into a new folder with a lower --learning_rate"
    return Finding("weights", "error", message, advice, {"checkpoint": images_seen})


def distilled() -> Finding:
    """What a distilled network cannot be measured on."""
    message = (
        "Not measured at noise levels: a distilled network predicts where trajectories end, and not the mean of clean "
        "images, which has the least error; its samples are what counts."
    )
    return Finding("denoising", "ok", message)


def images_seen(record: TrainingRecord) -> Finding:
    """Images seen beside what the recipe needs."""
    seen, recipe, train = record.images_seen, record.settings.recipe, record.settings.train
    needed = max(record.images_needed, FEWEST_STEPS * train.train_batch_size)
    numbers = {"seen": seen, "needed": needed}
    if record.elsewhere:
        message = f"The network has seen {seen:,} images here, beside those that it was trained on before."
        return Finding("images seen", "ok", message, "", numbers)
    message = (
        f"The network has seen {seen:,} images, and samples of {record.spec.height}x{record.spec.width} are legible "
        f"from about {needed:,} with the recipe {recipe}"
    )
    if seen >= needed:
        return Finding("images seen", "ok", f"{message}.", "", numbers)
    source = quoted(record.settings.data.source)
    advice = (
        f"train longer: `fromnoise train {source} --recipe {recipe} --num_images {2 * needed} --output_dir NEW_FOLDER`"
    )
    level: Level = "error" if 3 * seen < needed else "warning"
    return Finding("images seen", level, f"{message}: too few so far.", advice, numbers)


def ema_lag(curves: DenoisingCurves, weights: str) -> Finding | None:
    """EMA weights beside raw ones; None for a model that keeps no average. weights: those that sample."""
    if "ema" not in curves.models:
        return None
    ratio = geometric_ratio(curves.models["ema"].mean(1), curves.models["raw"].mean(1))
    numbers = {"ema_to_raw": ratio}
    if not ratio > CLEARLY:
        message = f"EMA weights do as well as raw ones (their error is {ratio:.2f} times that of raw weights)."
        return Finding("EMA weights", "ok", message, "", numbers)
    message = (
        f"The EMA lags: the one-step error of EMA weights is {ratio:.1f} times that of raw ones. It has not warmed up, "
        "or it averages over too much of the training."
    )
    advice = "sample with `--weights raw`; train longer, or with a shorter --set train.ema_length=0.05"
    return Finding("EMA weights", "error" if weights == "ema" else "warning", message, advice, numbers)


def denoising(curves: DenoisingCurves, record: TrainingRecord) -> Finding:
    """The error by noise level of the best weights beside the baselines."""
    reference = curves.reference
    best = min((errors.mean(1) for errors in curves.models.values()), key=lambda e: geometric_ratio(e, reference))
    numbers: dict[str, Any] = {"ratio": (best / reference).tolist()}
    if not bool(torch.isfinite(best).all()):
        message = "The predictions of the network are not finite, so its weights are of no use."
        advice = "train again into a new folder with a lower --learning_rate, or sample an older --checkpoint"
        return Finding("denoising", "error", message, advice, numbers)
    above = [i for i, ratio in enumerate((best / reference).tolist()) if ratio > CLEARLY]
    where = f"{curves.images} {'held-out' if record.held_out is not None else 'training'} images"
    if above:
        return _not_learned(curves, record, best, above, where, numbers)
    message = (
        f"In one step on {where}, the network beats the baselines at all noise levels (its error is "
        f"{geometric_ratio(best, reference):.2f} times theirs in the geometric mean)."
    )
    return Finding("denoising", "ok", message, "", numbers)


def _not_learned(
    curves: DenoisingCurves,
    record: TrainingRecord,
    best: Tensor,
    above: list[int],
    where: str,
    numbers: dict[str, Any],
) -> Finding:
    """The levels `above` which a filter or a look-up does better at, and the likely reason."""
    reference = curves.reference
    worst = max(above, key=lambda i: float(best[i] / reference[i]))
    error, baseline = float(best[worst]), float(reference[worst])
    message = (
        f"At {curves.levels.describe(above)} the error of the network on {where} is up to {error / baseline:.1f} times "
        f"that of the best baseline ({error:.3g} against {baseline:.3g} of the data's variance): it has not learned "
        "there."
    )
    if sum(float(curves.levels.strength[i]) > 0.4 for i in above) >= 2:
        advice = (
            "train longer, or with another --learning_rate; the one-step predictions in report.html show where it fails"
        )
        return Finding("denoising", "error", message, advice, numbers)
    message += " Samples keep their shapes, but fine detail and edges suffer."
    advice = "train longer"
    if not record.settings.net.time_conditioning:
        message += " This network is not conditioned on the time, so it cannot know how little noise there is."
        advice = "use a network with time conditioning, such as that of the default recipe"
    return Finding("denoising", "warning", message, advice, numbers)
