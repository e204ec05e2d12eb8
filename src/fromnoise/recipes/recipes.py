"""Recipes: functions that return a whole Settings for the images at hand, the device and the time.

A recipe may look at the images (size, channels, classes, how many) but not at their pixels. What it chooses,
a config file, `--set` and the flags can change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fromnoise.common.errors import choose
from fromnoise.common.image_spec import ImageSpec
from fromnoise.recipes.model_sizes import SIZES, Chosen, Situation, choose_size
from fromnoise.settings import NetOptions, ObjectiveOptions, ProcessOptions, SampleOptions, Settings, TrainOptions

BUDGET = "3m"  # of the default recipe, where nothing else is asked


def _default(size: str, at: Situation) -> Settings:
    """Flow matching with our own small U-Net: the most quality for a minute of a plain CPU.

    The network says EDM's F, so that at little noise it starts from x_t instead of from nothing; times are
    logit-normal (most of the work is at middle noise), the learning rate falls to 0 in a straight line and the weights
    are averaged. Muon moves them: after the same images seen, samples lie three times nearer to real ones than AdamW's
    (docs/recipe.md).
    Five steps of UniPC do for grey pictures and eight for coloured ones, for as long as they are close together at
    both ends. Two of them are guided (Kynkaanniemi et al. 2024), those of colour later and more: 7 or 10 evaluations.
    A step is guided wholly or not at all; grey's interval ends at 0.92 so that many steps are guided as much as five.
    """
    chosen = choose_size(at, size)
    classes, grey = bool(at.spec.classes), at.spec.channels == 1
    # Photographs want more of it, where it pulls later: docs/recipe.md.
    guidance = chosen.guidance if grey else round(1 + 2.5 * (chosen.guidance - 1), 2)
    return Settings(
        recipe="default" if size == "auto" else f"default-{size}",
        net=NetOptions(kind="unet", width=chosen.width),
        process=ProcessOptions(kind="linear", prior="normal"),
        objective=ObjectiveOptions("edm", "unit", "logit_normal", label_dropout=0.1 if classes else 0.0),
        train=TrainOptions(
            budget=BUDGET,
            train_batch_size=chosen.batch,
            optimizer="muon",
            momentum=0.9,
            learning_rate=chosen.learning_rate,
            lr_schedule="linear",
            lr_warmup_images=50 * chosen.batch,
            adam_beta2=0.95,
            weight_decay=0.1,
        ),
        sample=SampleOptions(
            sampler="unipc_2",
            grid="spread",
            steps=5 if grey else 8,
            guidance_scale=guidance if classes else 1.0,
            guidance_interval=(0.25, 0.92 if grey else 0.65) if classes else None,
        ),
    )


def elsewhere(sample: SampleOptions) -> dict[str, Any]:
    """Settings of sampling for another process than the recipe's own, whose times mean nothing there."""
    if sample.grid != "spread":
        return {}
    return {
        "sample.grid": "auto",
        "sample.steps": 10,
        "sample.guidance_scale": round(1 + 0.5 * (sample.guidance_scale - 1), 2),  # at all times, where half is enough
        "sample.guidance_interval": None,
    }


def ddpm(at: Situation) -> Settings:
    """DDPM as diffusers users know it: VP with linear betas, noise prediction, an unconditional UNet2DModel.

    A stock diffusers pipeline can hold the result. Widths grow with the images; the finest level has no attention.
    """
    side = max(at.spec.height, at.spec.width)
    channels = (32, 64, 64) if side <= 32 else (64, 128, 128, 256) if side <= 64 else (64, 128, 128, 256, 256)
    return Settings(
        recipe="ddpm",
        net=NetOptions(kind="unet2d", channels=channels, told_class=False),
        process=ProcessOptions(kind="vp", betas="linear", steps=1000),
        objective=ObjectiveOptions("eps", "unit", "discrete", label_dropout=0.0),
        train=TrainOptions(
            num_epochs=10.0,
            train_batch_size=min(64, at.count),
            learning_rate=1e-3 if side <= 32 else 2e-4,
            adam_beta2=0.999,
        ),
        sample=SampleOptions(sampler="ddpm", grid="trailing", steps=250, clip=True),
    )


def _chapter(recipe: str, net: NetOptions, count: int) -> Settings:
    """What both of the chapter's networks share: 3 epochs of Adam at 1e-3, batches of 128, images in [0, 1]."""
    return Settings(
        recipe=recipe,
        net=net,
        process=ProcessOptions(kind="linear", prior="uniform", low=0.0),
        objective=ObjectiveOptions("x0", "unit", "uniform", label_dropout=0.0),
        train=TrainOptions(
            num_epochs=3.0,
            train_batch_size=min(128, count),
            optimizer="adam",
            learning_rate=1e-3,
            lr_schedule="constant",
            lr_warmup_images=0,
            adam_beta2=0.999,
            weight_decay=0.0,
            max_grad_norm=None,
            use_ema=False,
            mixed_precision="no",
            log_every=1,
            heldout=0,
        ),
        sample=SampleOptions(sampler="ddim", grid="uniform", steps=40),
    )


def chapter_basic(at: Situation) -> Settings:
    """The chapter's section 3.3: BasicUNet, blind to the time, says the clean image from a mix with uniform noise."""
    return _chapter("chapter-basic", NetOptions(kind="basic_unet", told_time=False, told_class=False), at.count)


def chapter_unet2d(at: Situation) -> Settings:
    """The chapter's section 3.4.2: the same with diffusers' UNet2DModel, its timestep always 0."""
    return _chapter("chapter-unet2d", NetOptions(kind="unet2d", told_time=False, told_class=False), at.count)


RECIPES: dict[str, Callable[[Situation], Settings]] = {
    "default": partial(_default, "auto"),
    **{f"default-{size}": partial(_default, size) for size in SIZES},
    "ddpm": ddpm,
    "chapter-basic": chapter_basic,
    "chapter-unet2d": chapter_unet2d,
}


def size_of(name: str, at: Situation) -> Chosen | None:
    """The size that recipe `name` chooses; None where it has but one."""
    if not name.startswith("default"):
        return None
    return choose_size(at, name.removeprefix("default").removeprefix("-") or "auto")


_READABLE = {"default": 12_000, "ddpm": 150_000, "chapter-basic": 180_000, "chapter-unet2d": 180_000}


def images_needed(name: str, spec: ImageSpec) -> int:
    """About how many images the network of recipe `name` sees until samples can be read, for images of `spec`.

    Measured on 28x28 grey digits (default), made for that many there (the chapter's 3 epochs), or a fair guess (ddpm);
    scaled with pixels, but by at least a third: a rule of thumb, and photographs need more than drawings.
    """
    scale = max(1 / 3, spec.height * spec.width / 28**2)
    return 1000 * round(_READABLE.get(name, _READABLE["default"]) * scale / 1000)


def recipe(name: str, at: Situation) -> Settings:
    """The Settings of recipe `name` for the images and the time of `at`; UsageError for an unknown name."""
    return choose("recipe", name, RECIPES)(at)
