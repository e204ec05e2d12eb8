"""What every peer's script shares: flags, images from memory, one clock from the start of the process, the report.

A script runs in its peer's environment as `python -m peers.NAME` from benchmarks/, with src/ on PYTHONPATH for the
clock, which needs no torch. The last line that it prints is JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.common.durations import process_start

AT_ONCE = 250  # pictures sampled together
TO_SAVE = 0.3  # seconds kept back for the checkpoint


@dataclass(frozen=True)
class Task:
    """What a peer is built for. shape: (C, H, W); classes: 0 where there are no labels."""

    shape: tuple[int, int, int]
    classes: int
    batch_size: int
    sample_steps: int
    device: str


class Peer(Protocol):
    """A library's training and sampling, as its own example has them; made from a Task.

    package: its name on PyPI. batch_size, sample_steps: the defaults. evaluations: of the network for a picture.
    class_conditioning: the labels matter. settings: in words, what was taken from where. Images are float
    (B, C, H, W) in [0, 1].
    """

    package: str
    batch_size: int
    sample_steps: int
    evaluations: int
    class_conditioning: bool
    settings: str
    net: nn.Module

    def __init__(self, task: Task) -> None: ...

    def steps(self, batches: Iterator[tuple[Tensor, Tensor | None]]) -> Iterator[None]:
        """Train on `batches`; yields after every update of the weights."""

    def sample(self, num: int, labels: Tensor | None) -> Tensor:
        """`num` pictures, of `labels` (num,) where the peer is conditioned on classes."""


def endless(images: Tensor, labels: Tensor | None, size: int, device: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Batches of `size` in random order, epoch after epoch: float (B, C, H, W) in [0, 1], and their labels or None."""
    while True:
        for part in torch.randperm(len(images)).split(size):
            if len(part) == size:
                yield images[part].to(device) / 255, None if labels is None else labels[part].to(device)


def trained(peer: Peer, batches: Iterator[Any], deadline: float) -> list[float]:
    """Seconds of each update; the last is the one after which another as long would end past `deadline`."""
    seconds, began = [], time.monotonic()
    for _ in peer.steps(batches):
        now = time.monotonic()
        seconds.append(now - began)
        if now + seconds[-1] + TO_SAVE > deadline:
            break
        began = now
    return seconds


def sampled(peer: Peer, num: int, labels: Tensor | None) -> Any:
    """uint8 (num, H, W, C)."""
    pieces = []
    for place in torch.arange(num).split(AT_ONCE):
        made = peer.sample(len(place), None if labels is None else labels[place])
        pieces.append((made.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
    return torch.cat(pieces).numpy()


def play(make: type[Peer], argv: list[str] | None = None) -> None:
    """Read the flags, train for --seconds of the process's life, sample, write --out, print the line of JSON."""
    args = flags(make, argv)
    torch.manual_seed(args.seed)
    with np.load(args.train) as file:
        images = torch.from_numpy(file["images"]).permute(0, 3, 1, 2).contiguous()
        labels = torch.from_numpy(file["labels"]).long() if "labels" in file else None
    classes = 0 if labels is None else int(labels.max()) + 1
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _, channels, height, width = images.shape
    peer = make(Task((channels, height, width), classes, args.batch_size, args.sample_steps, device))
    seconds = trained(peer, endless(images, labels, args.batch_size, device), process_start() + args.seconds)
    torch.save(peer.net.state_dict(), args.out.with_suffix(".pt"))
    saved, began = time.monotonic() - process_start(), time.monotonic()
    asked = None
    if labels is not None and peer.class_conditioning:  # as often as in training
        asked = labels[torch.randint(len(labels), (args.num,))].to(device)
    made = sampled(peer, args.num, asked)
    report = {
        "device": device,
        "images_seen": len(seconds) * args.batch_size,
        "images_per_second": round(args.batch_size / statistics.median(seconds), 1),
        "train_seconds": round(saved, 2),
        "sample_seconds": round(time.monotonic() - began, 2),
        "evaluations": peer.evaluations,
        "parameters": sum(p.numel() for p in peer.net.parameters()),
        "settings": peer.settings,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", peer.package)},
    }
    asked_for: dict[str, Any] = {} if asked is None else {"labels": asked.cpu().numpy()}
    np.savez_compressed(args.out, images=made, **asked_for)
    print(json.dumps(report), flush=True)


def flags(make: type[Peer], argv: list[str] | None) -> argparse.Namespace:
    """What a peer's script is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help=".npz: images uint8 (N, H, W, C), maybe labels (N,)")
    parser.add_argument("--seconds", type=float, required=True, help="from the start of this process to the checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True, help=".npz of the samples; the weights go beside it")
    parser.add_argument("--batch_size", type=int, default=make.batch_size)
    parser.add_argument("--sample_steps", type=int, default=make.sample_steps)
    return parser.parse_args(argv)
