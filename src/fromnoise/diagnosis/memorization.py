"""Has the network learned the training images by heart? Its error on them against held-out ones, and copies."""

from __future__ import annotations

import math

from fromnoise.diagnosis.context import LOOKED_AT, Case
from fromnoise.diagnosis.finding import Finding, Level
from fromnoise.metrics.nearest_neighbours import nearest

_MATERIAL, _LARGE, _STANDARD_ERRORS = 1.1, 1.25, 4.0
_COPIES, _MANY_COPIES = 0.05, 0.2
_CLOSER = 3  # times nearer than the second nearest

_HELD_OUT = "there are no held-out images to compare with; give data with a test split, or train with --holdout 0.1"


def overfitting(case: Case) -> Finding:
    """Denoising error on training images against held-out ones, at the same levels with the same noise.

    Each image's score is the mean over levels of its error in units of the training images' mean there, so that no
    level outweighs the others; the gap is in standard errors of the difference.
    """
    count = len(case.run.data)
    if case.held_out is None:
        return Finding("over-fitting", "worth knowing", f"Not looked at: {_HELD_OUT}.")
    unseen = case.curves[case.weights]
    seen = case.errors(case.asked(case.denoiser), case.trained_on)
    scale = seen.mean(1, keepdim=True).clamp(min=1e-12)
    ours, theirs = (seen / scale).mean(0), (unseen / scale).mean(0)
    times = float(theirs.mean() / ours.mean())
    noise = math.sqrt(float(ours.var() / len(ours) + theirs.var() / len(theirs)))
    gap = float(theirs.mean() - ours.mean()) / max(noise, 1e-12)
    numbers = {"held_out_to_training": times, "standard_errors": gap, "training_images": count}
    says = (
        f"On held-out images the network's error is {times:.2f} times that on its {count:,} training images "
        f"({gap:+.1f} standard errors)"
    )
    if times < _MATERIAL or gap < _STANDARD_ERRORS:
        return Finding("over-fitting", "good", f"{says}.", "", numbers)
    do = "give it more images, or --random_flip where mirrored images are as good, or train for less long"
    level: Level = "fault" if times > _LARGE else "worth knowing"
    return Finding("over-fitting", level, f"{says}: it has begun to learn them by heart.", do, numbers)


def copies(case: Case) -> Finding | None:
    """Samples that are training images: far nearer to one than to any other, or than held-out images ever are."""
    if case.held_out is None or len(case.run.data) < 2:
        return None
    fresh = nearest(case.pictures(case.held_out, LOOKED_AT).images, case.run.data, k=2)[0]
    pairs = nearest(case.samples.images, case.run.data, k=2)[0]
    alone = pairs[:, 0] * _CLOSER < pairs[:, 1]
    share = float((alone | (pairs[:, 0] < fresh[:, 0].min())).double().mean())
    usual = float((fresh[:, 0] * _CLOSER < fresh[:, 1]).double().mean())
    numbers = {"copies": share, "held_out": usual, "samples": len(pairs)}
    says = f"{100 * share:.1f} % of {len(pairs)} samples are copies of training images"
    if share - usual <= _COPIES:
        return Finding("copies", "good", f"{says} (so are {100 * usual:.1f} % of real held-out ones).", "", numbers)
    says += (
        ": their nearest training image is 3 times nearer than the second, or nearer than that of any held-out image."
    )
    do = "give it more images or train for less long; `fromnoise show RUN` draws samples beside their nearest images"
    level: Level = "fault" if share - usual > _MANY_COPIES else "worth knowing"
    return Finding("copies", level, says, do, numbers)
