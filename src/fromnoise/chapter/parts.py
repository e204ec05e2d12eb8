"""How much of the chapter is done: all of it, or a stated part that a slow machine finishes in four minutes."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_TRAINING = 180_000  # 3 epochs of MNIST's 60,000 images


@dataclass(frozen=True)
class Parts:
    """Counts of images and steps.

    basic, unet2d, told: images that BasicUNet, UNet2DModel and the BasicUNet that is told the time see in training,
    repeats counted. judge_steps: training steps of the classifier that judges samples (None: its own number).
    samples, unet2d_samples: pictures in the grids of 40 steps. judged, unet2d_judged: pictures judged at each number
    of steps; step_counts, unet2d_step_counts: those numbers. held_out: images on which errors are measured.
    previews: pictures of its progress that a run makes. batch_size: images a step of training.
    """

    quick: bool = False
    basic: int = WHOLE_TRAINING
    unet2d: int = WHOLE_TRAINING
    told: int = WHOLE_TRAINING
    judge_steps: int | None = None
    samples: int = 64
    unet2d_samples: int = 64
    judged: int = 128
    unet2d_judged: int = 128
    step_counts: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 40, 80)
    unet2d_step_counts: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 40, 80)
    held_out: int = 1024
    previews: int = 4
    batch_size: int = 128


WHOLE = Parts()
QUICK = Parts(
    quick=True,
    basic=20_480,
    unet2d=1_024,
    told=10_240,
    judge_steps=100,
    unet2d_samples=16,
    unet2d_judged=8,
    unet2d_step_counts=(1, 2, 5, 10, 20),
    held_out=256,
    previews=0,
)


def stated(seen: int, parts: Parts) -> str:
    """How much training a number stands for: "180,000 images", or "quick: 20,480 of 180,000 images"."""
    if seen >= WHOLE_TRAINING:
        return f"{seen:,} images"
    return f"{'quick' if parts.quick else 'a part'}: {seen:,} of {WHOLE_TRAINING:,} images"
