"""Recipes: functions that return a whole Config for the images at hand.

A recipe may look at the images (size, channels, classes, how many) but not at their pixels. What it chooses,
a config file, `--set` and the flags can change.
"""

from __future__ import annotations

from collections.abc import Callable

from fromnoise.config import Config
from fromnoise.errors import choose
from fromnoise.images import ImageSpec
from fromnoise.model_options import ObjectiveOptions, ProcessOptions
from fromnoise.nets.options import NetOptions
from fromnoise.samplers.options import SampleOptions
from fromnoise.train.options import TrainOptions


def default(spec: ImageSpec, count: int) -> Config:
    """Flow matching with our own small U-Net: the most quality for a minute of a plain CPU.

    The network says EDM's F, so that at little noise it starts from x_t instead of from nothing; times are
    logit-normal (most of the work is at middle noise), the learning rate falls to 0 and the weights are averaged. Muon
    moves them: after the same images seen, samples lie three times nearer to real ones than AdamW's (docs/recipe.md).
    Five steps of UniPC, ten evaluations with guidance, are as close to the images as twenty of DDIM with forty; more
    guidance would make clearer digits of fewer kinds (docs/results/sampling-mnist.md).
    """
    big = max(spec.height, spec.width) > 40
    return Config(
        recipe="default",
        net=NetOptions(kind="unet", width=64 if big else 32),
        process=ProcessOptions(kind="linear", prior="normal"),
        objective=ObjectiveOptions("edm", "unit", "logit_normal", label_dropout=0.1 if spec.classes else 0.0),
        train=TrainOptions(
            budget="3m",
            train_batch_size=min(32, count),
            optimizer="muon",
            learning_rate=5e-3,
            lr_warmup_images=1600,
        ),
        sample=SampleOptions(sampler="unipc_2", steps=5, guidance_scale=1.5 if spec.classes else 1.0),
    )


def ddpm(spec: ImageSpec, count: int) -> Config:
    """DDPM as diffusers users know it: VP with linear betas, noise prediction, an unconditional UNet2DModel.

    A stock diffusers pipeline can hold the result. Widths grow with the images; the finest level has no attention.
    """
    side = max(spec.height, spec.width)
    channels = (32, 64, 64) if side <= 32 else (64, 128, 128, 256) if side <= 64 else (64, 128, 128, 256, 256)
    return Config(
        recipe="ddpm",
        net=NetOptions(kind="unet2d", channels=channels, told_class=False),
        process=ProcessOptions(kind="vp", betas="linear", steps=1000),
        objective=ObjectiveOptions("eps", "unit", "discrete", label_dropout=0.0),
        train=TrainOptions(
            num_epochs=10.0,
            train_batch_size=min(64, count),
            learning_rate=1e-3 if side <= 32 else 2e-4,
            adam_beta2=0.999,
        ),
        sample=SampleOptions(sampler="ddpm", grid="trailing", steps=250, clip=True),
    )


def _chapter(recipe: str, net: NetOptions, count: int) -> Config:
    """What both of the chapter's networks share: 3 epochs of Adam at 1e-3, batches of 128, images in [0, 1]."""
    return Config(
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


def chapter_basic(spec: ImageSpec, count: int) -> Config:
    """The chapter's section 3.3: BasicUNet, blind to the time, says the clean image from a mix with uniform noise."""
    return _chapter("chapter-basic", NetOptions(kind="basic_unet", told_time=False, told_class=False), count)


def chapter_unet2d(spec: ImageSpec, count: int) -> Config:
    """The chapter's section 3.4.2: the same with diffusers' UNet2DModel, its timestep always 0."""
    return _chapter("chapter-unet2d", NetOptions(kind="unet2d", told_time=False, told_class=False), count)


RECIPES: dict[str, Callable[[ImageSpec, int], Config]] = {
    "default": default,
    "ddpm": ddpm,
    "chapter-basic": chapter_basic,
    "chapter-unet2d": chapter_unet2d,
}


_READABLE = {"default": 30_000, "ddpm": 150_000, "chapter-basic": 180_000, "chapter-unet2d": 180_000}


def images_needed(name: str, spec: ImageSpec) -> int:
    """About how many images the network of recipe `name` sees until samples can be read, for images of `spec`.

    Measured on 28x28 grey digits (default), made for that many there (the chapter's 3 epochs), or a fair guess (ddpm);
    scaled with pixels, but by at least a third: a rule of thumb, and photographs need more than drawings.
    """
    scale = max(1 / 3, spec.height * spec.width / 28**2)
    return 1000 * round(_READABLE.get(name, _READABLE["default"]) * scale / 1000)


def recipe(name: str, spec: ImageSpec, count: int) -> Config:
    """The Config of recipe `name` for `count` training images of `spec`; UsageError for an unknown name."""
    return choose("recipe", name, RECIPES)(spec, count)
