"""How long, how fast and how carefully to train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option


@dataclass(frozen=True)
class TrainOptions:
    """The training loop's options. One of num_epochs, num_images and budget says how long."""

    num_epochs: float | None = option(None, "how often every image is seen", least=1e-6, most=1e6)
    num_images: int | None = option(None, "how many images are seen, repeats counted", least=1)
    budget: str | None = option(None, "wall time from start to the last checkpoint, such as 90s, 3m or 1.5h")
    train_batch_size: int = option(128, "images a step", least=1)
    optimizer: Literal["adam", "adamw", "muon"] = option(
        "adamw", "Adam, AdamW (weight decay apart from the gradient), or Muon for matrices and AdamW for the rest"
    )
    learning_rate: float = option(1e-3, "the highest learning rate", least=0)
    lr_schedule: Literal["constant", "cosine", "linear"] = option(
        "cosine", "its course after the warm-up; the last two end at 0"
    )
    lr_warmup_images: int = option(6400, "images over which the learning rate rises from 0", least=0)
    momentum: float = option(0.95, "Muon's memory of past gradients", least=0, most=0.99999)
    adam_beta2: float = option(0.99, "Adam's memory of squared gradients", least=0, most=0.99999)
    weight_decay: float = option(0.01, "AdamW's pull towards zero", least=0)
    max_grad_norm: float | None = option(1.0, "gradients longer than this are shortened to it", least=0)
    use_ema: bool = option(True, "keep a running average of the weights and sample with it")
    ema_length: float = option(0.1, "length of the average, as a share of training so far", least=0.001, most=0.28)
    posthoc_ema: bool = option(
        True, "with the average, keep what averages of other lengths are made of later, by --weights ema:LENGTH"
    )
    mixed_precision: Literal["auto", "no", "bf16"] = option("auto", "the type the network computes in")
    memory_format: Literal["auto", "channels_first", "channels_last"] = option(
        "auto", "how the network's images and kernels lie in memory"
    )
    cuda_graph: Literal["auto", "yes", "no"] = option("auto", "record a step once and replay it whole (CUDA only)")
    compile: Literal["auto", "yes", "no"] = option("auto", "let torch.compile fuse the network's kernels")
    seed: int = option(0, "everything random follows from it", least=0)
    checkpoint_every: str = option("5m", "a checkpoint is written this often, and at the end")
    checkpoints_kept: int = option(2, "how many checkpoints stay", least=1)
    previews: int = option(4, "how many preview grids are made on the way", least=0, most=100)
    heldout: int = option(
        8,
        "how often the loss on held-out images is measured on the way, and once at the end; 0 is never",
        least=0,
        most=1000,
    )
    evaluate_every: int | None = option(
        None, "images between quick evaluations of 1,000 samples; the best checkpoint is then by their KID", least=1
    )
    log_every: int = option(10, "steps that one line of metrics.jsonl averages", least=1)
