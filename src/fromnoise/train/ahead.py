"""Batches that are got ready while the device computes, for images that are not in the device's memory."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import torch
from torch import Tensor

from fromnoise.common.memory import memory_limit
from fromnoise.data.batches import WHOLE, Batches
from fromnoise.data.image_data import ArrayData

SHARE = 0.5  # of a device's free memory: images that take more stay where they are

Key = tuple[int, slice]
Batch = tuple[Tensor, Tensor | None]


def resident(data: ArrayData, device: str) -> bool:
    """Whether the images are to lie in the memory of `device` while it trains."""
    size, images = data.images.shape.numel(), data.images
    if torch.device(device).type == "cpu":
        return isinstance(images, Tensor)
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = memory_limit(device) or size
    return size <= SHARE * free


class Ahead:
    """`batches`, of which the next is got ready while the last is used; each is what `batches` gives.

    For another device a thread fetches it. The CPU only has the system read it from the disk: a thread of ours would
    take the cores from the training, a fifth of its speed, to save the copy of one batch.
    Which one is next is learned from those before: the same slots of the next step, or other slots of the same.

    Arguments:
        device: where the batches go, by pinned memory where that is a GPU.
        by_thread: whether a thread fetches the next; if not given, for every device but the CPU.
    """

    def __init__(self, batches: Batches, device: str, by_thread: bool | None = None) -> None:
        self._batches, self._device = batches, torch.device(device)
        self._by_thread = self._device.type != "cpu" if by_thread is None else by_thread
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[Key, Future[Batch]] | None = None
        self._last: Key | None = None
        self._follows: dict[tuple[int | None, ...], tuple[int, slice]] = {}
        self._waited, self._since = 0.0, time.perf_counter()

    @property
    def steps_per_epoch(self) -> int:
        """That of the batches."""
        return self._batches.steps_per_epoch

    def images_before(self, step: int) -> int:
        """That of the batches."""
        return self._batches.images_before(step)

    def indices(self, step: int) -> Tensor:
        """That of the batches."""
        self._settle()
        return self._batches.indices(step)

    def batch(self, step: int, slots: slice = WHOLE) -> Batch:
        """`batches.batch(step, slots)` on the device."""
        began, key = time.perf_counter(), (step, slots)
        if self._next and self._next[0] == key:
            images, labels = self._next[1].result()
        else:
            self._settle()
            images, labels = self._fetch(step, slots)
        self._waited += time.perf_counter() - began
        self._expect(key)
        pinned = self._device.type == "cuda"  # what is not may be gone before a device that lags has copied it
        images = images.to(self._device, non_blocking=pinned)
        return images, None if labels is None else labels.to(self._device, non_blocking=pinned)

    def take_share(self) -> float:
        """The share of the time since the last call in which the training waited for a batch, 0 to 1."""
        now = time.perf_counter()
        share = self._waited / max(1e-9, now - self._since)
        self._waited, self._since = 0.0, now
        return min(1.0, share)

    def _expect(self, key: Key) -> None:
        """Begin to get ready what followed such a batch before."""
        step, slots = key
        if self._last is not None:
            self._follows[_ends(self._last[1])] = (step - self._last[0], slots)
        self._last = key
        ahead, others = self._follows.get(_ends(slots), (1, slots))
        if not 0 <= ahead <= 1:
            return
        if self._by_thread:
            self._next = ((step + ahead, others), self._pool.submit(self._fetch, step + ahead, others))
        else:
            self._batches.read_ahead(step + ahead, others)

    def _fetch(self, step: int, slots: slice) -> Batch:
        images, labels = self._batches.batch(step, slots)
        if self._device.type == "cuda":
            return images.pin_memory(), None if labels is None else labels.pin_memory()
        return images, labels

    def _settle(self) -> None:
        """Wait for the thread: it and its caller share the order of the images."""
        if self._next:
            pending, self._next = self._next[1], None
            with suppress(Exception):  # of a batch that nobody asked for
                pending.result()


def _ends(slots: slice) -> tuple[int | None, ...]:
    return slots.start, slots.stop, slots.step
