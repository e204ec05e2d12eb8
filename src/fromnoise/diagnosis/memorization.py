"""Whether the training images are memorised: the error on them beside held-out images, and near-duplicates."""

from __future__ import annotations

import math

from torch import Tensor

from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.denoising_curves import DenoisingCurves
from fromnoise.diagnosis.finding import Finding, Level
from fromnoise.diagnosis.images import MOST_IMAGES, choose_images
from fromnoise.metrics.nearest_neighbours import nearest

_MATERIAL, _LARGE, _STANDARD_ERRORS = 1.1, 1.25, 4.0
_SHARE, _LARGE_SHARE = 0.05, 0.2
_CLOSER = 3  # times nearer than the second nearest

_NO_HELD_OUT = "there are no held-out images to compare with; give data with a test split, or train with --holdout 0.1"


def overfitting(curves: DenoisingCurves, weights: str, training_images: int) -> Finding:
    """Denoising error on training images beside held-out images, at the same levels with the same noise.

    Each image's score is the mean over levels of its error in units of the training images' mean there, so that no
    level outweighs the others; the gap is in standard errors of the difference.
    """
    if curves.training is None:
        return Finding("overfitting", "warning", f"Not checked: {_NO_HELD_OUT}.")
    scale = curves.training.mean(1, keepdim=True).clamp(min=1e-12)
    training, held_out = (curves.training / scale).mean(0), (curves.models[weights] / scale).mean(0)
    ratio = float(held_out.mean() / training.mean())
    noise = math.sqrt(float(training.var() / len(training) + held_out.var() / len(held_out)))
    gap = float(held_out.mean() - training.mean()) / max(noise, 1e-12)
    numbers = {"held_out_to_training": ratio, "standard_errors": gap, "training_images": training_images}
    message = (
        f"On held-out images the error of the network is {ratio:.2f} times that on its {training_images:,} training "
        f"images ({gap:+.1f} standard errors)"
    )
    if ratio < _MATERIAL or gap < _STANDARD_ERRORS:
        return Finding("overfitting", "ok", f"{message}.", "", numbers)
    advice = "train on more images, or with --random_flip where mirrored images are as good, or for less long"
    level: Level = "error" if ratio > _LARGE else "warning"
    return Finding("overfitting", level, f"{message}: it starts to memorise them.", advice, numbers)


def near_duplicates(samples: Tensor, data: ArrayData, held_out: ArrayData | None) -> Finding | None:
    """Samples, uint8 (N, C, H, W), that are far nearer to one training image than to others, or than held-out images.

    None without held-out images.
    """
    if held_out is None or len(data) < 2:
        return None
    fresh = nearest(choose_images(held_out, MOST_IMAGES).images, data, k=2)[0]
    pairs = nearest(samples, data, k=2)[0]
    alone = pairs[:, 0] * _CLOSER < pairs[:, 1]
    share = float((alone | (pairs[:, 0] < fresh[:, 0].min())).double().mean())
    usual = float((fresh[:, 0] * _CLOSER < fresh[:, 1]).double().mean())
    numbers = {"near_duplicates": share, "held_out": usual, "samples": len(pairs)}
    message = f"{100 * share:.1f} % of {len(pairs)} samples are near-duplicates of training images"
    if share - usual <= _SHARE:
        message += f" (as are {100 * usual:.1f} % of real held-out images)."
        return Finding("near-duplicates", "ok", message, "", numbers)
    message += (
        ": their nearest training image is 3 times nearer than the second, or nearer than that of any held-out image."
    )
    advice = "train on more images or for less long; `fromnoise show RUN` draws samples beside their nearest images"
    level: Level = "error" if share - usual > _LARGE_SHARE else "warning"
    return Finding("near-duplicates", level, message, advice, numbers)
