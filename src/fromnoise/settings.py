"""Every setting of every part: frozen dataclasses whose fields carry default, help and limits.

A setting has a dotted name, `train.learning_rate`. One statement serves the command line, config files, Python and the
settings page. Recipes give a whole `Settings`; a config file and `--set` change single ones. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from fromnoise.common.options import option


@dataclass(frozen=True)
class DataOptions:
    """Where images come from and how they become one shape."""

    source: str = option("digits", "a data set's name, a folder or .zip of images, .npz, IDX, or hf:owner/name")
    resolution: str | None = option(
        None, "32 (square) or HEIGHTxWIDTH such as 48x64; if not given, found from the files"
    )
    center_crop: bool = option(True, "crop the centre to the wanted shape (otherwise images are squeezed into it)")
    random_flip: bool = option(False, "mirror each training image left-right half of the time")
    holdout: float = option(
        0.1, "share of the images kept out of training where the data has no test split", least=0, most=0.5
    )
    on_bad_image: Literal["error", "skip"] = option("error", "stop at a file that cannot be read, or leave it out")
    classes: Literal["auto", "folders", "none"] = option(
        "auto", "where classes come from: a label file or else the folders; the folders alone; or there are none"
    )
    splits: Literal["auto", "folders", "none"] = option(
        "auto", "whether folders called train and test are splits; auto refuses where they may be classes"
    )
    range: str = option(
        "auto", "the stored values of black and white: full (all that the bits hold), such as 0-4095, or found (auto)"
    )
    channels: int | None = option(
        None, "1 (grey), 3 (RGB) or 4 (RGBA) for all images; if not given, found from the files", least=1, most=4
    )
    conditions: str | None = option(
        None, "numbers to condition on: columns of metadata.csv or keys of an .npz, such as slant,thickness"
    )
    store: Literal["auto", "always", "never"] = option(
        "auto",
        "keep decoded images on the disk, not in memory: where they take more than half of what is free (auto)",
    )

    def __post_init__(self) -> None:
        """`resolution = 32` is a size too."""
        given: object = self.resolution
        if isinstance(given, int) and not isinstance(given, bool):
            object.__setattr__(self, "resolution", str(given))


class DataSettings(TypedDict, total=False):
    """The keyword arguments of `load`: the fields of DataOptions but for the source, each optional."""

    resolution: str | int | None
    center_crop: bool
    random_flip: bool
    holdout: float
    on_bad_image: Literal["error", "skip"]
    classes: Literal["auto", "folders", "none"]
    splits: Literal["auto", "folders", "none"]
    range: str
    channels: int | None
    conditions: str | None
    store: Literal["auto", "always", "never"]


@dataclass(frozen=True)
class NetOptions:
    """A network's kind and size; what a kind does not use is ignored by it."""

    kind: Literal["unet", "dit", "basic_unet", "unet2d"] = option(
        "unet", "our small U-Net, a transformer, the chapter's BasicUNet, or diffusers' UNet2DModel"
    )
    width: int = option(32, "channels at the first level of the U-Net, or of a token of the DiT", least=8, most=512)
    depth: int = option(2, "residual blocks per level of the U-Net, or blocks of the DiT", least=1, most=8)
    time_conditioning: bool = option(True, "condition the network on the time (the chapter's networks are not)")
    class_conditioning: bool = option(True, "condition the network on the class, where the images have classes")
    bounded: bool = option(
        False,
        "keep what the U-Net predicts in the range of the images, where it predicts x0: flat black is exactly black",
    )
    channels: tuple[int, ...] = option((32, 64, 64), "channels of each level of UNet2DModel", least=1, most=4096)
    attention: bool = option(True, "self-attention at the lower levels of UNet2DModel")
    unet2d: str | None = option(
        None, 'other arguments of UNet2DModel as JSON, such as {"layers_per_block": 1}; those of an imported one'
    )


@dataclass(frozen=True)
class ProcessOptions:
    """The path from image to noise; prior is for "linear" only, steps to zero_terminal_snr for "vp" and its limit."""

    kind: Literal["linear", "vp", "vp_continuous", "ve"] = option(
        "linear", "straight mix, variance preserving (DDPM's table, or its limit), or variance exploding (EDM)"
    )
    prior: Literal["normal", "uniform"] = option("normal", "the distribution of the noise on a linear path")
    betas: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = option(
        "linear", "the noise schedule of a VP process"
    )
    steps: int = option(1000, "entries in the table of a VP process", least=3, most=1_000_000)
    beta_start: float = option(1e-4, "the first beta of a linear or scaled linear schedule", least=1e-8, most=0.999)
    beta_end: float = option(0.02, "the last beta", least=1e-8, most=0.999)
    zero_terminal_snr: bool = option(False, "make the last entry of a VP process pure noise")
    low: float = option(-1.0, "the value of black in the network's input: -1, or 0 as in the chapter", least=-1, most=0)


@dataclass(frozen=True)
class ObjectiveOptions:
    """The prediction target, and how errors are weighted over noise levels."""

    prediction: Literal["x0", "eps", "v", "velocity", "edm"] = option("x0", "what the network predicts")
    weighting: Literal["unit", "snr", "truncated_snr", "min_snr", "edm", "sigmoid", "clamped_velocity"] = option(
        "unit", "weighting of noise levels"
    )
    time_sampling: Literal["uniform", "stratified", "logit_normal", "logit_normal_high", "log_normal", "discrete"] = (
        option("logit_normal", "the distribution of training times")
    )
    time_shift: float = option(1.0, "factor of the noise levels trained at: 2 if twice as wide", least=0.01, most=100)
    label_dropout: float = option(0.1, "share of images shown without their class and numbers", least=0, most=1)
    guidance_input: float | None = option(
        None,
        "train a network that takes guidance scales from 1 to this one as an input, so that guidance costs no second "
        "evaluation; times: those of sample.guidance_interval",
        least=1.1,
        most=20,
    )
    sigma_data: float | None = option(
        None, "standard deviation of the data; measured if not given", least=1e-6, most=1e6
    )


@dataclass(frozen=True)
class TrainOptions:
    """The training loop's options. One of num_epochs, num_images and budget gives the length."""

    num_epochs: float | None = option(None, "passes over the training images", least=1e-6, most=1e6)
    num_images: int | None = option(None, "how many images are seen, repeats counted", least=1)
    budget: str | None = option(
        None, "wall time from start to the last checkpoint, such as 90s, 3m or 1.5h", duration=True
    )
    train_batch_size: int = option(128, "images per step, of all processes together", least=1)
    gradient_accumulation_steps: int = option(
        1, "micro-batches in which a process computes its images of a step; the step stays the same", least=1
    )
    optimizer: Literal["adam", "adamw", "muon"] = option(
        "adamw", "Adam, AdamW (weight decay apart from the gradient), or Muon for matrices and AdamW for the rest"
    )
    learning_rate: float = option(1e-3, "peak learning rate", least=0)
    lr_schedule: Literal["constant", "cosine", "linear"] = option(
        "cosine", "learning-rate schedule after warm-up; cosine and linear end at 0"
    )
    lr_warmup_images: int = option(6400, "images over which the learning rate rises from 0", least=0)
    momentum: float = option(0.95, "Muon's momentum", least=0, most=0.99999)
    adam_beta2: float = option(0.99, "Adam beta2", least=0, most=0.99999)
    weight_decay: float = option(0.01, "AdamW weight decay", least=0)
    max_grad_norm: float | None = option(1.0, "clip the global gradient norm at this value, or none", least=1e-6)
    use_ema: bool = option(True, "keep an exponential moving average of the weights and sample with it")
    ema_length: float = option(
        0.1, "EMA length: relative standard deviation of the averaging profile", least=0.001, most=0.28
    )
    posthoc_ema: bool = option(
        True, "also keep snapshots from which --weights ema:LENGTH makes averages of other lengths later"
    )
    mixed_precision: Literal["auto", "no", "bf16"] = option("auto", "computation type: auto, no (float32) or bf16")
    memory_format: Literal["auto", "channels_first", "channels_last"] = option(
        "auto", "memory layout of the network's images and kernels"
    )
    cuda_graph: Literal["auto", "yes", "no"] = option(
        "auto", "capture a training step as a CUDA graph and replay it (CUDA only)"
    )
    compile: Literal["auto", "yes", "no"] = option("auto", "let torch.compile fuse the network's kernels")
    num_threads: int | None = option(
        None, "CPU threads; if not given, as many as other programs leave room for", least=1, most=1024
    )
    seed: int = option(0, "everything random follows from it", least=0)
    checkpoint_every: str = option("5m", "a checkpoint is written this often, and at the end", duration=True)
    checkpointing_steps: int | None = option(
        None, "steps between checkpoints, in place of the time between them (checkpoint_every)", least=1
    )
    checkpoints_kept: int = option(2, "how many of the newest checkpoints stay, at least 2", least=1)
    previews: int = option(4, "how many preview grids are made during training", least=0, most=100)
    validations: int = option(
        8,
        "how often the validation loss is measured during training, and once at the end; 0 is never",
        least=0,
        most=1000,
    )
    evaluate_every: int | None = option(
        None, "images between quick evaluations of 1,000 samples; the best checkpoint is then by their KID", least=1
    )
    log_every: int = option(10, "steps averaged in one line of metrics.jsonl", least=1)
    report_to: Literal["tensorboard", "wandb", "trackio"] | None = option(
        None, "also report to this tracker; nothing leaves the machine unless your own environment says so"
    )
    answer_within: str = option(
        "30m", "of many processes, one that does not answer for so long ends the training", duration=True
    )


SamplerName = Literal[
    "ddim",
    "mix",
    "ddpm",
    "ddpm_large",
    "euler",
    "heun",
    "euler_ancestral",
    "dpmpp_2m",
    "dpmpp_3m",
    "unipc_2",
    "unipc_3",
    "ipndm_4",
    "edm",
    "renoise",
]


@dataclass(frozen=True)
class SampleOptions:
    """Sampler, grid and guidance."""

    sampler: SamplerName = option("ddim", "the rule that steps from t to s (`fromnoise sample --list` describes each)")
    grid: str = option(
        "auto",
        "time grid: auto, uniform, trailing, leading, flow, karras, log_snr, shifted, few_steps, levels, or 1,0.5,0",
    )
    steps: int = option(20, "number of sampling steps", least=1, most=10_000)
    eta: float | None = option(
        None, "share of fresh noise in each step of ddim, mix, ddpm or euler_ancestral", least=0, most=1
    )
    churn: float | None = option(
        None,
        "S_churn of edm, dpmpp_2m or dpmpp_3m: each step begins by raising the noise level by this over their number",
        least=0,
        most=1000,
    )
    guidance_scale: float = option(
        1.0,
        "classifier-free guidance scale: 1 is off; otherwise a second evaluation at each guided step, unless it is an "
        "input of the network",
        least=0,
    )
    guidance_interval: tuple[float, ...] | None = option(None, "the lowest and highest time t at which guidance acts")
    guidance_rescale: float = option(0.0, "guidance rescale phi, 0 to 1 (Lin et al. 2024)", least=0, most=1)
    autoguidance_scale: float = option(1.0, "autoguidance scale (Karras et al. 2024b): 1 is off", least=0)
    guide_checkpoint: str | None = option(None, "images seen at the checkpoint that autoguidance pushes away from")
    clip: bool = option(False, "clip each x0 prediction to the images' range")
    threshold: float | None = option(
        None,
        "dynamic thresholding of x0 predictions by this quantile instead of clipping, such as 0.995",
        least=0.5,
        most=1,
    )
    batch_size: int = option(256, "samples made at once; it does not change them", least=1)


class SampleSettings(TypedDict, total=False):
    """The keyword arguments of everything that samples: the fields of SampleOptions, each optional."""

    sampler: SamplerName
    grid: str
    steps: int
    eta: float | None
    churn: float | None
    guidance_scale: float
    guidance_interval: tuple[float, ...] | None
    guidance_rescale: float
    autoguidance_scale: float
    guide_checkpoint: str | None
    clip: bool
    threshold: float | None
    batch_size: int


NO_FRESH_NOISE: SampleSettings = {"eta": None, "churn": None}
"""The settings of some samplers, which mean nothing to others."""


def guidance_words(scale: float, interval: Sequence[float] | None) -> str:
    """Such as "guidance 1.5 at times 0.3 to 0.8"; empty where there is none."""
    where = f" at times {interval[0]:g} to {interval[1]:g}" if interval else ""
    return f"guidance {scale:g}{where}" if scale != 1 else ""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run: one section for each part."""

    recipe: str = "default"
    data: DataOptions = field(default_factory=DataOptions)
    net: NetOptions = field(default_factory=NetOptions)
    process: ProcessOptions = field(default_factory=ProcessOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    sample: SampleOptions = field(default_factory=SampleOptions)


# What a run that goes on may change. Each setting stands in one of these tables.
HARMLESS = {  # the weights come out the same (num_threads, gradient_accumulation_steps: but for rounding)
    "data": ("source", "on_bad_image", "store"),  # the images themselves are compared
    "train": (
        "checkpoint_every",
        "checkpointing_steps",
        "checkpoints_kept",
        "previews",
        "validations",
        "evaluate_every",
        "log_every",
        "report_to",
        "num_threads",
        "gradient_accumulation_steps",
        "answer_within",
    ),
    "sample": (*SampleSettings.__annotations__,),
}
SCHEDULABLE = {  # holds from there on, and is written down in config.json
    "train": (
        *("num_epochs", "num_images", "budget", "learning_rate", "lr_schedule", "lr_warmup_images", "max_grad_norm"),
        *("momentum", "adam_beta2", "weight_decay", "mixed_precision", "memory_format", "cuda_graph", "compile"),
    ),
}
STRUCTURAL = {  # another value is another run
    "data": (
        *("resolution", "center_crop", "random_flip", "holdout", "classes", "splits", "range", "channels"),
        "conditions",
    ),
    "net": (
        *("kind", "width", "depth", "time_conditioning", "class_conditioning", "bounded"),
        *("channels", "attention", "unet2d"),
    ),
    "process": ("kind", "prior", "betas", "steps", "beta_start", "beta_end", "zero_terminal_snr", "low"),
    "objective": (
        *("prediction", "weighting", "time_sampling", "time_shift", "label_dropout", "guidance_input", "sigma_data"),
    ),
    "train": ("train_batch_size", "optimizer", "use_ema", "ema_length", "posthoc_ema", "seed"),
}


def may_change(name: str, table: Mapping[str, Sequence[str]]) -> bool:
    """Whether the setting with dotted name `name` stands in `table`, such as HARMLESS."""
    section, _, key = name.partition(".")
    return key in table.get(section, ())
