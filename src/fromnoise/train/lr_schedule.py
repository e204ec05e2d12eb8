"""The learning rate as a function of images seen: a linear warm-up, then constant, cosine or linear.

    rate(n) = peak * min(1, (n + B) / W) * fall(n)      n images seen, B batch size, W warm-up images

The cosine is that of Loshchilov & Hutter 2017 (https://arxiv.org/abs/1608.03983), without restarts.
"""

from __future__ import annotations

import math

from fromnoise.settings import TrainOptions


def learning_rate(options: TrainOptions, images: int, total: int | None) -> float:
    """The rate for the step that begins after `images` images, of `total` (None: not planned yet, so no decay).

    Rises linearly over lr_warmup_images (at most a tenth of a known total), then stays, or falls to 0 at the
    end as a cosine or a straight line.
    """
    warmup = options.lr_warmup_images if total is None else min(options.lr_warmup_images, total / 10)
    rise = min(1.0, (images + options.train_batch_size) / warmup) if warmup else 1.0
    if total is None or options.lr_schedule == "constant":
        return options.learning_rate * rise
    done = min(1.0, max(0.0, (images - warmup) / max(1.0, total - warmup)))
    fall = 1 - done if options.lr_schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return options.learning_rate * rise * fall
