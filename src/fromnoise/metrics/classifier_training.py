"""How the classifier of the real images is trained: a fixed recipe, whose hash stands in every protocol.

    Adam, one cycle of the learning rate (Smith & Topin 2017), label smoothing 0.05, shifts by a few pixels

The weights follow from the recipe, the data and a seed. Probabilities are calibrated by one temperature (Guo et al.
2017, https://arxiv.org/abs/1706.04599).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator, key
from fromnoise.common.threads import following_load
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.classifier import BATCH, FEATURES, LARGEST_SIDE, POOLED, WIDTHS, Classifier

VERSION = 2  # of the code of net and training; the numbers enter the hash by themselves
_BATCH = 128
_LEAST_STEPS = 300  # small sets are seen often, large ones at least three times
_LEAST_EPOCHS = 3
_PEAK_RATE = 4e-3
_WARM = 0.2  # share of the steps in which the rate rises
_SMOOTHING = 0.05
_SHIFT = 14  # images move by up to a 14th of their shorter side: 2 pixels of 28


def recipe() -> dict[str, Any]:
    """All that decides the weights besides data and seed, as a plain dict."""
    return {
        "version": VERSION,
        "widths": list(WIDTHS),
        "features": FEATURES,
        "pooled": POOLED,
        "largest": LARGEST_SIDE,
        "batch": _BATCH,
        "least_steps": _LEAST_STEPS,
        "least_epochs": _LEAST_EPOCHS,
        "peak_rate": _PEAK_RATE,
        "warm": _WARM,
        "smoothing": _SMOOTHING,
        "shift": _SHIFT,
    }


def recipe_hash(**more: int) -> str:
    """Sixteen hex digits that change with the recipe, and with what is special to some images."""
    return hashlib.sha256(json.dumps(recipe() | more, sort_keys=True).encode()).hexdigest()[:16]


def train_classifier(
    data: ArrayData, *, seed: int = 0, epochs: float | None = None, steps: int | None = None
) -> Classifier:
    """Train a classifier of the classes of `data`.

    Arguments:
        epochs: how often each image is seen.
        steps: the same in batches of 128. Without either the recipe decides: three epochs, and at least 300 steps.

    Raises:
        DataError: for data without labels, or with fewer than two classes in it.
    """
    labels = labels_of(data)
    net = new_classifier(data, seed)
    batch = min(_BATCH, len(data))
    if steps is None:
        wanted = max(_LEAST_STEPS, _LEAST_EPOCHS * len(data) // batch)
        steps = wanted if epochs is None else max(1, round(epochs * len(data) / batch))
    optimizer = torch.optim.Adam(net.parameters(), lr=_PEAK_RATE, fused=True)
    # One cycle of a single step would divide by zero.
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=max(2, steps), pct_start=_WARM)
    random = generator(seed, "classifier batches")
    order = torch.empty(0, dtype=torch.int64)
    for _ in following_load(range(steps)):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(data), generator=random)])
        chosen, order = order[:batch], order[batch:]
        images = _shifted(data.fetch(chosen)[0].cpu(), random)
        loss = F.cross_entropy(net(images), labels[chosen], label_smoothing=_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
    _set_temperature(net.eval(), data, labels, random)
    return net


def labels_of(data: ArrayData) -> Tensor:
    """The labels to learn from, int64 (N,) on the CPU; DataError if there are none or all are the same."""
    classes = 0 if data.labels is None else int((data.labels.bincount() > 0).sum())
    if data.labels is None or classes < 2:
        raise DataError(f"{data.name} has {classes} labelled classes, but at least 2 are needed; give labelled data")
    return data.labels.cpu()


def new_classifier(data: ArrayData, seed: int) -> Classifier:
    """The untrained classifier for the classes of `data`; its weights follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "classifier"))
        return Classifier(data.spec.channels, len(data.spec.classes))


def _shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image moved by its own few pixels, edges repeated; uint8 (B, C, H, W) in and out."""
    count, _, height, width = images.shape
    far = max(1, min(height, width) // _SHIFT)
    down, right = torch.randint(-far, far + 1, (2, count, 1), generator=random)
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    which = torch.arange(count)[:, None, None]
    return images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def _set_temperature(net: Classifier, data: ArrayData, labels: Tensor, random: torch.Generator) -> None:
    """The temperature under which 2,000 shifted training images are likeliest, of 41 between 1/4 and 4."""
    chosen = torch.randperm(len(data), generator=random)[:2000]
    shifted = _shifted(data.fetch(chosen)[0].cpu(), random)
    logits = torch.cat([net(part) for part in torch.split(shifted, BATCH)])
    choices = 4.0 ** torch.linspace(-1, 1, 41)
    losses = [float(F.cross_entropy(logits / choice, labels[chosen])) for choice in choices]
    net.temperature.copy_(choices[losses.index(min(losses))])
