"""A small classifier trained on the real images: the judge of what samples show, and a space to compare them in.

Its recipe is fixed and hashed (`recipe_hash`); its weights follow from the data and a seed (`weight_hash`). It
shares nothing with the models it judges.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fromnoise.common.errors import DataError, WriteError
from fromnoise.common.files import write_bytes
from fromnoise.common.seeds import generator, key
from fromnoise.data.image_data import ArrayData

VERSION = 2  # of the code below; the numbers enter the hash by themselves
FEATURES = 128
_WIDTHS = (16, 32, 64)
_POOLED = 4  # the last convolution's output is averaged to 4x4
_LARGEST = 64  # pixels a side; larger pictures are averaged down first
_BATCH = 128
_LEAST_STEPS = 300  # small sets are seen often, large ones at least three times
_LEAST_EPOCHS = 3
_PEAK_RATE = 4e-3
_WARM = 0.2  # share of the steps in which the rate rises
_SMOOTHING = 0.05
_SHIFT = 14  # pictures move by up to a 14th of their shorter side: 2 pixels of 28
_EVALUATE = 256  # pictures at once, which bounds memory


class Classifier(nn.Module):
    """Three convolutions with batch normalisation, a 4x4 pooling, 128 features, one linear layer.

    156,000 parameters for 1 channel and 10 classes. Takes uint8 (N, C, H, W) of any size; sides above 64 are
    averaged down. The features come before any ReLU, so none of them is dead.
    """

    temperature: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        first, second, third = _WIDTHS
        self.channels = channels
        self.trunk = nn.Sequential(
            *_convolution(channels, first, halve=True),
            *_convolution(first, second, halve=True),
            *_convolution(second, third, halve=False),
            nn.AdaptiveAvgPool2d(_POOLED),
            nn.Flatten(),
            nn.Linear(third * _POOLED**2, FEATURES),
        )
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("temperature", torch.ones(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes) for uint8 images (N, C, H, W)."""
        return cast(Tensor, self.head(F.relu(self._embed(images))))

    def features(self, images: Tensor) -> Tensor:
        """float32 (N, 128) for uint8 images (N, C, H, W), in batches, on the CPU.

        Raises DataError for images of another kind or number of channels.
        """
        return self._in_batches(self._embed, images)

    def probabilities(self, images: Tensor) -> Tensor:
        """float32 (N, classes), rows sum to 1, for uint8 images (N, C, H, W), in batches, on the CPU.

        softmax(logits / temperature): without the temperature, label smoothing would keep a sure answer below 0.96.
        Raises DataError for images of another kind or number of channels.
        """
        return self._in_batches(lambda part: (self(part) / self.temperature).softmax(1), images)

    @property
    def weight_hash(self) -> str:
        """SHA-256 over names and values of all weights: equal only for the same judge."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _embed(self, images: Tensor) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1
        height, width = x.shape[-2:]
        if max(height, width) > _LARGEST:
            scale = _LARGEST / max(height, width)
            x = F.interpolate(x, (max(1, round(height * scale)), max(1, round(width * scale))), mode="area")
        return cast(Tensor, self.trunk(x))

    @torch.no_grad()
    def _in_batches(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != self.channels:
            given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
            raise DataError(
                f"the pictures are {given}, but the classifier takes uint8 (N, {self.channels}, H, W); "
                "give pictures like those it was trained on"
            )
        self.eval()  # in training mode a picture's features would depend on its neighbours in the batch
        device = self.head.weight.device
        return torch.cat([function(part.to(device)).cpu() for part in torch.split(images, _EVALUATE)])


def _convolution(channels: int, width: int, halve: bool) -> list[nn.Module]:
    # Halved first: all that follows costs a quarter.
    pool = [nn.MaxPool2d(2, ceil_mode=True)] if halve else []
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), *pool, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def recipe() -> dict[str, Any]:
    """All that decides the weights besides data and seed, as a plain dict."""
    return {
        "version": VERSION,
        "widths": list(_WIDTHS),
        "features": FEATURES,
        "pooled": _POOLED,
        "largest": _LARGEST,
        "batch": _BATCH,
        "least_steps": _LEAST_STEPS,
        "least_epochs": _LEAST_EPOCHS,
        "peak_rate": _PEAK_RATE,
        "warm": _WARM,
        "smoothing": _SMOOTHING,
        "shift": _SHIFT,
    }


def recipe_hash() -> str:
    """Sixteen hex digits that change with the recipe."""
    return hashlib.sha256(json.dumps(recipe(), sort_keys=True).encode()).hexdigest()[:16]


def train_classifier(
    data: ArrayData, *, seed: int = 0, epochs: float | None = None, steps: int | None = None
) -> Classifier:
    """The judge for `data`: Adam with one cycle of the learning rate, label smoothing, small random shifts.

    epochs: how often each picture is seen; steps: the same in batches of 128. Without them the recipe decides: three
    epochs, and 300 steps at least. Raises DataError for data without labels or with fewer than two classes in it.
    """
    labels = labels_of(data)
    net = _fresh(data, seed)
    batch = min(_BATCH, len(data))
    if steps is None:
        wanted = max(_LEAST_STEPS, _LEAST_EPOCHS * len(data) // batch)
        steps = wanted if epochs is None else max(1, round(epochs * len(data) / batch))
    optimizer = torch.optim.Adam(net.parameters(), lr=_PEAK_RATE, fused=True)
    # One cycle of a single step would divide by zero.
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=max(2, steps), pct_start=_WARM)
    random = generator(seed, "classifier batches")
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(data), generator=random)])
        chosen, order = order[:batch], order[batch:]
        images = _shifted(data.fetch(chosen)[0].cpu(), random)
        loss = F.cross_entropy(net(images), labels[chosen], label_smoothing=_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
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


def _fresh(data: ArrayData, seed: int) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "classifier"))
        return Classifier(data.spec.channels, len(data.spec.classes))


def _shifted(images: Tensor, random: torch.Generator) -> Tensor:
    """Each picture moved by its own few pixels, edges repeated; uint8 (B, C, H, W) in and out."""
    count, _, height, width = images.shape
    far = max(1, min(height, width) // _SHIFT)
    down, right = torch.randint(-far, far + 1, (2, count, 1), generator=random)
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    which = torch.arange(count)[:, None, None]
    return images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def _set_temperature(net: Classifier, data: ArrayData, labels: Tensor, random: torch.Generator) -> None:
    """The temperature under which 2,000 shifted training pictures are likeliest, of 41 between 1/4 and 4."""
    chosen = torch.randperm(len(data), generator=random)[:2000]
    shifted = _shifted(data.fetch(chosen)[0].cpu(), random)
    logits = torch.cat([net(part) for part in torch.split(shifted, _EVALUATE)])
    choices = 4.0 ** torch.linspace(-1, 1, 41)
    losses = [float(F.cross_entropy(logits / choice, labels[chosen])) for choice in choices]
    net.temperature.copy_(choices[losses.index(min(losses))])


def cached_classifier(data: ArrayData, cache_dir: Path, *, seed: int = 0) -> Classifier:
    """`train_classifier`, kept in `cache_dir` under the recipe, the seed and the data's fingerprint.

    Two files: the weights (.safetensors) and what they are (.json). Files that do not belong together or cannot be
    read are trained anew, and the .json notes it; a folder that cannot be read or written only costs time.
    Raises DataError for data without labels or with fewer than two classes in it.
    """
    labels_of(data)
    name = hashlib.sha256(f"{recipe_hash()}/{seed}/{data.fingerprint}".encode()).hexdigest()[:16]
    path = cache_dir / f"classifier-{name}.safetensors"
    net = _fresh(data, seed)
    there = False
    try:
        there = path.exists()
        net.load_state_dict(load(path.read_bytes()))
        if json.loads(path.with_suffix(".json").read_bytes())["weights"] == net.weight_hash:
            return net.eval()
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError):
        pass  # missing or damaged: both are mended below
    net = train_classifier(data, seed=seed)
    notes = ["what was kept here before could not be used, so the classifier was trained anew"] if there else []
    about = {"data": data.name, "split": data.split, "fingerprint": data.fingerprint, "seed": seed}
    about |= {"weights": net.weight_hash, "recipe_hash": recipe_hash(), "recipe": recipe(), "notes": notes}
    with contextlib.suppress(WriteError):
        write_bytes(path, save({key: value.contiguous() for key, value in net.state_dict().items()}))
        write_bytes(path.with_suffix(".json"), json.dumps(about, indent=1).encode())
    return net


def accuracy(classifier: Classifier, data: ArrayData) -> float:
    """Share of `data` that the classifier names rightly, 0..1; DataError without labels."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels to compare with; give labelled data")
    return float((classifier.probabilities(data.images).argmax(1) == data.labels.cpu()).double().mean())
