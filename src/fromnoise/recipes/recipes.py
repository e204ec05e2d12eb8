"""Recipes: functions that return a whole Settings for the images, the device and the time budget.

A recipe may look at the images: size, channels, classes, how many, and how much of them is flat. What it chooses,
a config file, `--set` and the flags can change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fromnoise.common.errors import choose
from fromnoise.common.image_spec import ImageSpec
from fromnoise.recipes.model_sizes import SIZES, ModelSize, TrainingContext, choose_size
from fromnoise.settings import (
    DataOptions,
    NetOptions,
    ObjectiveOptions,
    ProcessOptions,
    SampleOptions,
    Settings,
    TrainOptions,
)

DRAWING_STEPS = 8
DRAWING_INTERVAL = (0.3, 0.65)  # of guidance there
DRAWING_DROPOUT, PHOTOGRAPH_DROPOUT = 0.02, 0.1  # of labels, for guidance: what is shown so is lost to the classes
BUDGET = "3m"  # of the default recipe, where nothing else is requested
DISTILL_BUDGET = "60s"  # of a distillation, likewise


def _default(size: str, context: TrainingContext) -> Settings:
    """Flow matching with our own small U-Net: the best samples after a minute on a plain CPU.

    The network predicts the clean image: layers as narrow as these cannot carry noise as well, which EDM's F and the
    velocity contain (Li & He 2025). Its error is weighted as that of the velocity; training times are logit-normal
    around a little more noise than the middle, and around more for large images; the learning rate falls linearly to 0
    and the weights are averaged. Muon is the optimizer: after the same images seen, samples have a third of AdamW's
    Fréchet distance (docs/recipe.md).
    Photographs that are seen more than a hundred times each are mirrored half of the time, if that leaves them alike.
    """
    chosen = choose_size(context, size)
    dropout = (DRAWING_DROPOUT if context.drawings else PHOTOGRAPH_DROPOUT) if context.spec.conditioned else 0.0
    return Settings(
        recipe="default" if size == "auto" else f"default-{size}",
        data=DataOptions(random_flip=chosen.mirrored),
        net=NetOptions(kind="unet", width=chosen.width),
        process=ProcessOptions(kind="linear", prior="normal"),
        objective=ObjectiveOptions("x0", "clamped_velocity", "logit_normal_high", chosen.time_shift, dropout),
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
        sample=_sampling(context, chosen.guidance),
    )


def _sampling(context: TrainingContext, guidance: float) -> SampleOptions:
    """How the default recipe samples, on a grid that is dense at both ends.

    Drawings in eight steps of DPM-Solver++ with churn, which take away what earlier steps got wrong; photographs, to
    which churn adds grain, in twelve of UniPC. Two or three of them are guided (Kynkäänniemi et al. 2024), those of
    photographs more: 10 or 15 network evaluations.
    """
    drawings, guided = context.drawings, bool(context.spec.classes)
    interval = DRAWING_INTERVAL if drawings else (0.25, 0.65)
    return SampleOptions(
        sampler="dpmpp_2m" if drawings else "unipc_2",
        churn=3.0 if drawings else None,
        grid="few_steps",
        steps=DRAWING_STEPS if drawings else 12,
        guidance_scale=guidance if guided else 1.0,
        guidance_interval=interval if guided else None,
    )


def trajectory_sampling(own: SampleOptions) -> SampleOptions:
    """As the default recipe samples, but so that images follow from the noise that they start from.

    Drawings without churn have their classes as well in six steps that are guided from a little earlier on.
    """
    if not own.churn or own.sampler != "dpmpp_2m":
        return own
    steps = 6 if own.steps == DRAWING_STEPS else own.steps
    interval = (0.2, 0.7) if own.guidance_interval == DRAWING_INTERVAL else own.guidance_interval
    return replace(own, sampler="unipc_2", churn=None, steps=steps, guidance_interval=interval)


def consequences(own: Settings, changed: Settings) -> dict[str, Any]:
    """Settings that follow from `changed` ones, where a recipe's `own` would mean nothing beside them."""
    if own.recipe.partition("-")[0] != "default":
        return {}
    found = _for_process(own, changed.process)
    if not changed.net.class_conditioning:
        found |= {"sample.guidance_scale": 1.0, "sample.guidance_interval": None}
    return found


def _for_process(own: Settings, process: ProcessOptions) -> dict[str, Any]:
    """For another process than that of `own`.

    Churn adds normal noise, which another prior is not; and times of another path are other noise levels: on `ve` they
    are these levels themselves, from nearly 0 to 80, of which an even share below 1 would leave nothing.
    """
    if process.kind == own.process.kind:
        without = trajectory_sampling(own.sample)
        normal = process.prior == own.process.prior
        return {} if normal else {f"sample.{name}": value for name, value in vars(without).items()}
    times: dict[str, Any] = {"objective.time_shift": 1.0}
    if process.kind == "ve":
        times |= {"objective.time_sampling": "log_normal"}
    guidance = 1 + min(0.5 * (own.sample.guidance_scale - 1), 0.75)  # at all times, where half is enough, or less
    return {
        **times,
        "sample.sampler": "unipc_2",
        "sample.churn": None,
        "sample.grid": "auto",
        "sample.steps": 10,
        "sample.guidance_scale": round(guidance, 2),
        "sample.guidance_interval": None,
    }


def ddpm(context: TrainingContext) -> Settings:
    """DDPM as diffusers users know it: VP with linear betas, noise prediction, an unconditional UNet2DModel.

    A stock diffusers pipeline can hold the result. Widths grow with the images; the finest level has no attention.
    """
    side = max(context.spec.height, context.spec.width)
    channels = (32, 64, 64) if side <= 32 else (64, 128, 128, 256) if side <= 64 else (64, 128, 128, 256, 256)
    return Settings(
        recipe="ddpm",
        net=NetOptions(kind="unet2d", channels=channels, class_conditioning=False),
        process=ProcessOptions(kind="vp", betas="linear", steps=1000),
        objective=ObjectiveOptions("eps", "unit", "discrete", label_dropout=0.0),
        train=TrainOptions(
            num_epochs=10.0,
            train_batch_size=min(64, context.count),
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
            validations=0,
        ),
        sample=SampleOptions(sampler="ddim", grid="uniform", steps=40),
    )


def chapter_basic(context: TrainingContext) -> Settings:
    """The chapter's section 3.3: BasicUNet without time conditioning predicts x0 from a mix with uniform noise."""
    return _chapter(
        "chapter-basic", NetOptions(kind="basic_unet", time_conditioning=False, class_conditioning=False), context.count
    )


def chapter_unet2d(context: TrainingContext) -> Settings:
    """The chapter's section 3.4.2: the same with diffusers' UNet2DModel, its timestep always 0."""
    return _chapter(
        "chapter-unet2d", NetOptions(kind="unet2d", time_conditioning=False, class_conditioning=False), context.count
    )


RECIPES: dict[str, Callable[[TrainingContext], Settings]] = {
    "default": partial(_default, "auto"),
    **{f"default-{size}": partial(_default, size) for size in SIZES},
    "ddpm": ddpm,
    "chapter-basic": chapter_basic,
    "chapter-unet2d": chapter_unet2d,
}


def size_of(name: str, context: TrainingContext) -> ModelSize | None:
    """The model size that recipe `name` chooses; None where it has only one."""
    if not name.startswith("default"):
        return None
    return choose_size(context, name.removeprefix("default").removeprefix("-") or "auto")


_IMAGES_UNTIL_LEGIBLE = {"default": 12_000, "ddpm": 150_000, "chapter-basic": 180_000, "chapter-unet2d": 180_000}


def images_needed(name: str, spec: ImageSpec) -> int:
    """About how many images the network of recipe `name` sees until samples are legible, for images of `spec`.

    Measured on 28x28 grey digits (default), published for them (the chapter's 3 epochs), or estimated (ddpm); scaled
    with the number of pixels, but by at least a third: a rule of thumb, and photographs need more than drawings.
    """
    scale = max(1 / 3, spec.height * spec.width / 28**2)
    return 1000 * round(_IMAGES_UNTIL_LEGIBLE.get(name, _IMAGES_UNTIL_LEGIBLE["default"]) * scale / 1000)


def recipe(name: str, context: TrainingContext) -> Settings:
    """The Settings of recipe `name` in `context`; UsageError for an unknown name."""
    return choose("recipe", name, RECIPES)(context)
