"""Section 3.6, first half, measured: what is it worth to a network to be told the time?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from fromnoise.chapter import words
from fromnoise.chapter.networks import Trained, train
from fromnoise.chapter.parts import stated
from fromnoise.chapter.pieces import PROCESS, corrupt
from fromnoise.chapter.teaching import run_block
from fromnoise.chapter.telling import Telling
from fromnoise.chapter.words import filled
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import load, splits
from fromnoise.figures.curves import lines
from fromnoise.settings import DataOptions

PARTS = 20  # points on a curve
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CHUNK = 256


@dataclass(frozen=True)
class HeldOut:
    """Images that no network of the chapter was trained on (where the data has such), and what to call them."""

    images: ArrayData
    words: str


def held_out(telling: Telling) -> HeldOut:
    """The first test images, or the first training images where there are no others."""
    options, count = DataOptions(source=telling.source), telling.parts.held_out
    if "test" in splits(options):
        return HeldOut(_first(load(options, "test"), count), "test images")
    return HeldOut(_first(telling.data, count), "training images (this data has no test split)")


def _first(data: ArrayData, count: int) -> ArrayData:
    labels = None if data.labels is None else data.labels[:count]
    return replace(data, images=data.images[:count], labels=labels)


def told_the_time(telling: Telling, blind: Trained, unseen: HeldOut) -> None:
    """BasicUNet told the time beside the blind one: same data, order, noise, seed and number of steps."""
    telling.begin("3.6", "Further: time and steps", filled(words.TOLD))
    settings = {"net.time_conditioning": True}
    aware = train(telling, "BasicUNet told the time", "basic-unet-told", "chapter-basic", telling.parts.told, settings)
    telling.more("", run_block(telling, aware))
    part = f"{stated(aware.images, telling.parts)} each"
    pair = {"BasicUNet, blind": blind, "BasicUNet, told the time": aware}
    curves = {name: binned(net.seen, net.losses) for name, net in pair.items()}
    picture = lines(curves, "images seen", "mean loss", "Loss while training, blind and told the time")
    telling.show("told-the-time", picture, f"Each point is the mean over a twentieth of the training ({part}).")
    for name, net in pair.items():
        images, loss = net.last()
        telling.measured(f"{name}, mean loss of the last {images:,} images", loss, note=part)
    errors = {name: error_by_level(telling, net.net, unseen.images) for name, net in pair.items()}
    note = f"mean over {len(LEVELS)} amounts, {len(unseen.images):,} {unseen.words}, the same noise for both; {part}"
    for name, values in errors.items():
        telling.measured(f"{name}, error on held-out images", float(np.mean(values)), note=note)
    telling.tabulate()
    telling.more(filled(words.TOLD_BY_LEVEL, reading=_reading(*errors.values())))
    against = {name: (list(LEVELS), _changes(errors["BasicUNet, blind"], values)) for name, values in errors.items()}
    title = "Error on held-out images against the blind network's"
    picture = lines(against, "amount of noise", "difference in %", title)
    telling.show("told-the-time-by-amount", picture, f"{len(unseen.images):,} {unseen.words} at each amount ({part}).")


def _reading(blind: Sequence[float], aware: Sequence[float]) -> str:
    """The measured difference in words."""
    change = _changes(blind, aware)
    mean = 100 * (float(np.mean(aware)) / float(np.mean(blind)) - 1)
    most = int(np.argmax(np.abs(change)))
    return (
        f"On average over the amounts the told network's error is {_percent(mean)}; the difference is largest at "
        f"amount {LEVELS[most]:g}, where it is {_percent(change[most])}."
    )


def _changes(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [100 * (a / b - 1) for a, b in zip(after, before, strict=True)]


def _percent(change: float) -> str:
    return f"{abs(change):.1f} % {'lower' if change < 0 else 'higher'}"


def binned(seen: Sequence[int], losses: Sequence[float]) -> tuple[list[float], list[float]]:
    """(images seen, mean loss) for up to 20 equal parts; the first is left out, in which a network only wakes up."""
    parts = np.array_split(np.arange(len(losses)), min(PARTS, len(losses)))
    parts = parts[1:] if len(parts) > 2 else parts
    return [float(seen[part[-1]]) for part in parts], [float(np.mean(np.asarray(losses)[part])) for part in parts]


@torch.no_grad()
def error_by_level(telling: Telling, net: nn.Module, data: ArrayData) -> list[float]:
    """The mean squared error of `net` on `data` at each amount of LEVELS; the noise follows from the seed alone."""
    device, errors = telling.device.name, []
    for number, level in enumerate(LEVELS):
        total = 0.0
        for place, images in enumerate(torch.split(data.images, CHUNK)):
            x, amount = telling.spec.encode(images), torch.full((len(images),), level)
            mixed = corrupt(x, amount, generator=generator(telling.seed, "chapter held-out noise", number, place))
            answer = net(mixed.to(device), PROCESS.code(amount).to(device)).cpu()
            total += float((answer - x).square().mean()) * len(images)
        errors.append(total / len(data))
    return errors
