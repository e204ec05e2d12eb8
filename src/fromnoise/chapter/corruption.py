"""Sections 3.1, 3.2 and 3.5: the images, and two ways to corrupt them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fromnoise.chapter import blocks, words
from fromnoise.chapter.blocks import block
from fromnoise.chapter.pieces import corrupt
from fromnoise.chapter.published import FIRST_BATCH
from fromnoise.chapter.telling import Telling
from fromnoise.chapter.words import filled
from fromnoise.common.seeds import generator
from fromnoise.data.batches import Batches
from fromnoise.data.loading import describe
from fromnoise.diffusion.vp import VPLinear
from fromnoise.figures.grid import grid
from fromnoise.figures.image_rows import rows
from fromnoise.figures.scaling import Images

SHOWN = 8


def arrays(telling: Telling, x: Tensor) -> Images:
    """Float (B, C, H, W), nominally in [0, 1], as uint8 (B, H, W, C): clipped, then rounded."""
    decoded: Images = telling.spec.decode(x).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return decoded


def amounts(count: int) -> Tensor:
    """linspace(0, 1, count), float32."""
    return torch.linspace(0, 1, count)


def first_batch(telling: Telling) -> Tensor:
    """Section 3.1: the first 8 images, float32 (8, C, H, W) in [0, 1]."""
    images, labels = Batches(telling.data, min(SHOWN, len(telling.data)), telling.seed).batch(0)
    facts = {"device": telling.device.name, "reason": telling.device.reason, "data": describe(telling.data)}
    code = block(blocks.FIRST_BATCH, source=telling.source, batch=len(images), seed=telling.seed)
    telling.begin("3.1", "Environment and data", filled(words.FIRST_BATCH, **facts), code)
    telling.say(f"device: {telling.device.name} ({telling.device.reason})")
    telling.say(describe(telling.data))
    for note in telling.data.notes:
        telling.say(note)
    telling.measured("shape of the first batch", list(images.shape), FIRST_BATCH)
    names = "" if labels is None else "drawn by the shuffle, so they differ from seed to seed"
    telling.measured("labels of the first batch", None if labels is None else labels.tolist(), note=names)
    x = telling.spec.encode(images)
    shown = "grey on white" if telling.invert else "as they are"
    telling.show("digits", grid(arrays(telling, x), invert=telling.invert), f"The first batch of 8, {shown}.")
    telling.tabulate()
    return x


def corruption(telling: Telling, x: Tensor) -> None:
    """Section 3.2: the same 8 images with amounts from 0 to 1."""
    telling.begin("3.2", "Corruption", filled(words.CORRUPT), block(blocks.CORRUPT))
    mixed = corrupt(x, amounts(len(x)), generator=generator(telling.seed, "chapter corruption"))
    titled = [("Input data", x), ("Corrupted data (-- amount increases -->)", mixed)]
    picture = rows([(title, arrays(telling, images)) for title, images in titled], invert=telling.invert)
    telling.show("corruption", picture, "Eight images, and the same eight with amounts from 0 to 1.")


def _rounded(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 1000 else f"{ratio:.3g}"


def ddpm_corruption(telling: Telling, x: Tensor) -> None:
    """Section 3.5: the same images under DDPM's rule, ours and diffusers' on the same noise."""
    from diffusers import DDPMScheduler

    clean, k = 2 * x - 1, torch.linspace(0, 999, len(x)).long()
    noise = torch.randn(x.shape, generator=generator(telling.seed, "chapter DDPM noise"))
    process = VPLinear()
    noisy = process.corrupt(clean, noise, k + 1)
    theirs = DDPMScheduler(num_train_timesteps=1000).add_noise(clean, noise, k)
    telling.begin("3.5", "The DDPM corruption", words.DDPM.strip(), block(blocks.DDPM))
    low, high = float(noisy.min()), float(noisy.max())
    titled = [
        ("Clean", (clean + 1) / 2),
        ("Noisy, clipped to [-1, 1]", (noisy + 1) / 2),
        (f"Noisy, its whole range from {low:.1f} to {high:.1f}", (noisy - low) / (high - low)),
    ]
    heads = [f"timestep {i}" if i == 0 else str(int(i)) for i in k]
    picture = rows([(title, arrays(telling, images)) for title, images in titled], heads, invert=telling.invert)
    telling.show("ddpm", picture, "The same images at eight timesteps of DDPM's 1000.")
    difference = float((noisy - theirs).abs().max())
    telling.measured(
        "VPLinear against diffusers' DDPMScheduler.add_noise, largest difference",
        difference,
        note="same images, noise and timesteps; expected at most 1e-5",
        digits=0,
    )
    telling.tabulate()
    alpha, sigma = (curve.numpy() for curve in process.scales(k + 1))
    ratio = np.square(alpha / sigma)
    head = ("timestep", "alpha, what is left of the image", "sigma, of the noise", "signal-to-noise ratio")
    cells = [(int(i), f"{a:.4f}", f"{s:.4f}", _rounded(r)) for i, a, s, r in zip(k, alpha, sigma, ratio, strict=True)]
    telling.lay(
        [head, *cells], "What DDPM's process does at these timesteps, and how much an error of the image weighs there."
    )
