"""Whether the training images are memorised: the error on them beside held-out images, and near-duplicates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fromnoise.data.holdout import FEWEST
from fromnoise.data.image_data import ArrayData
from fromnoise.data.repeats import distinct
from fromnoise.diagnosis.denoising_curves import DenoisingCurves
from fromnoise.diagnosis.finding import Finding, Level
from fromnoise.diagnosis.images import MOST_IMAGES, choose_images
from fromnoise.metrics.memorization import rate_by_chance
from fromnoise.metrics.nearest_neighbours import nearest

_MATERIAL, _LARGE, _STANDARD_ERRORS = 1.1, 1.25, 4.0
_SHARE, _LARGE_SHARE = 0.05, 0.2
_CLOSER = 3  # times nearer than the second nearest

_MORE = "train on more images or for less long; `fromnoise show RUN` draws samples beside their nearest images"
_NO_HELD_OUT = "there are no held-out images to compare with"


def overfitting(curves: DenoisingCurves, weights: str, training_images: int, *, mirrored: bool = False) -> Finding:
    """Denoising error on training images beside held-out images, at the same levels with the same noise.

    Each image's score is the mean over levels of its error in units of the training images' mean there, so that no
    level outweighs the others; the gap is in standard errors of the difference.
    """
    if curves.training is None:
        return Finding("overfitting", "warning", f"Not checked: {_NO_HELD_OUT}; {_for_held_out(training_images)}.")
    scale = curves.training.mean(1, keepdim=True).clamp(min=1e-12)
    training, held_out = (curves.training / scale).mean(0), (curves.models[weights] / scale).mean(0)
    if min(len(training), len(held_out)) < 2:  # one image has no standard error
        few = f"{len(training):,} training and {len(held_out):,} held-out images are too few to compare"
        return Finding("overfitting", "warning", f"Not checked: {few}; give at least 2 of each.")
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
    flip = "" if mirrored else "with --random_flip where mirrored images are as good, or "
    advice = f"train on more images, or {flip}for less long"
    level: Level = "error" if ratio > _LARGE else "warning"
    return Finding("overfitting", level, f"{message}: it starts to memorise them.", advice, numbers)


def near_duplicates(samples: Tensor, data: ArrayData, held_out: ArrayData | None, *, mirrored: bool = False) -> Finding:
    """Samples, uint8 (N, C, H, W), that are far nearer to one training image than to others, or than real images are.

    The real images are the held-out ones; without them, training images beside the other ones.

    Arguments:
        mirrored: whether the network was trained on mirrored images too, so that it may copy those.
    """
    known = data.subset(distinct(data.images, mirrored=mirrored))
    if len(known) == 1:
        message = "The training images are all the same image, so that samples can only be copies of it."
        return Finding("near-duplicates", "error", message, _MORE, {"different_images": 1})
    pairs = nearest(samples, known, k=2, mirrored=mirrored)[0]
    real = _pairs_of_real(known, held_out, mirrored)
    alone, usually = _alone(pairs), _alone(real)
    if held_out is not None:  # training images lie apart: between them, what shows nothing is near to each
        nearer = pairs[:, 0] < real[:, 0].min()
        if float(nearer.double().mean()) > _SHARE + rate_by_chance(len(real)):  # few real images show no bound
            alone |= nearer
    share, usual = float(alone.double().mean()), float(usually.double().mean()) if len(real) else 0.0
    others = "held-out images" if held_out is not None else "training images, beside the others"
    numbers = {"near_duplicates": share, "held_out": usual, "samples": len(pairs)}
    message = f"{100 * share:.1f} % of {len(pairs)} samples are near-duplicates of training images"
    if share - usual <= _SHARE:
        message += f" (as are {100 * usual:.1f} % of real {others})."
        return Finding("near-duplicates", "ok", message, "", numbers)
    message += ": their nearest training image is 3 times nearer than the second"
    message += "." if held_out is None else ", or nearer than that of any held-out image."
    level: Level = "error" if share - usual > _LARGE_SHARE else "warning"
    return Finding("near-duplicates", level, message, _MORE, numbers)


def _for_held_out(training_images: int) -> str:
    """How there would be held-out images: below a number of them `--holdout` keeps none out."""
    enough = training_images >= FEWEST
    return "give data with a test split, or train " + (
        "with --holdout 0.1" if enough else f"on at least {FEWEST} images, of which --holdout keeps some out"
    )


def _alone(pairs: Tensor) -> Tensor:
    """Whether the first of two distances (N, 2) is far the shorter one."""
    return pairs[:, 0] * _CLOSER < pairs[:, 1]


def _pairs_of_real(known: ArrayData, held_out: ArrayData | None, mirrored: bool) -> Tensor:
    """The distances (M, 2) of real images; (0, 2) where there are too few to tell."""
    if held_out is not None:
        return nearest(choose_images(held_out, MOST_IMAGES).images, known, k=2, mirrored=mirrored)[0]
    if len(known) < 3:
        return torch.zeros(0, 2)
    return nearest(choose_images(known, MOST_IMAGES).images, known, k=3, mirrored=mirrored)[0][
        :, 1:
    ]  # the first is itself


def repeated_images(data: ArrayData, *, mirrored: bool = False) -> Finding | None:
    """Training images that repeat another one; None where they are few."""
    different = len(distinct(data.images, mirrored=mirrored))
    repeated = len(data) - different
    if repeated <= _SHARE * len(data):
        return None
    message = f"{repeated:,} of {len(data):,} training images repeat another one{' or mirror it' if mirrored else ''}"
    numbers = {"different_images": different, "training_images": len(data)}
    advice = "leave the repeated images out, or give more different ones"
    return Finding("repeated images", "warning", f"{message}: the network learns these the more.", advice, numbers)
