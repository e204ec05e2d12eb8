"""Batches that are fetched ahead are those of the step, in whatever order they are asked for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import ArrayData, Batches, load
from fromnoise.data.rows import Rows
from fromnoise.train.ahead import Ahead, resident

HALVES = slice(0, None, 2), slice(1, None, 2)


def data(number: int = 21) -> ArrayData:
    images = torch.arange(number, dtype=torch.uint8)[:, None, None, None].expand(number, 1, 4, 4).contiguous()
    return ArrayData("numbers", "train", images, torch.arange(number) % 3, ImageSpec(1, 4, 4, ("a", "b", "c")))


ORDERS: dict[str, list[tuple[Any, ...]]] = {
    "one after the other": [(step,) for step in range(12)],
    "two micro-batches": [(step, half) for step in range(9) for half in HALVES],
    "one process of two": [(step, HALVES[1]) for step in range(9)],
    "here and there": [(3,), (4,), (4,), (9,), (0, HALVES[0]), (1,), (2,), (2, HALVES[1]), (3,)],
}


@pytest.mark.parametrize("by_thread", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_each_batch_is_that_of_its_step(order: str, by_thread: bool) -> None:
    plain, ahead = (Batches(data(), 6, seed=2, random_flip=True) for _ in range(2))
    fetched = Ahead(ahead, "cpu", by_thread)
    for asked in ORDERS[order]:
        one, other = plain.batch(*asked), fetched.batch(*asked)
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])  # type: ignore[arg-type]
    assert fetched.steps_per_epoch == plain.steps_per_epoch and fetched.images_before(5) == plain.images_before(5)
    assert torch.equal(fetched.indices(7), plain.indices(7))


class Watched(Batches):
    """Says which steps it was asked for, and by which thread."""

    def __init__(self) -> None:
        super().__init__(data(), 6, seed=2)
        self.asked: list[tuple[int, bool]] = []
        self.done = threading.Semaphore(0)

    def batch(self, step: int, *slots: slice) -> Any:
        self.asked.append((step, threading.current_thread() is threading.main_thread()))
        if step == 3:
            raise RuntimeError("step 3")
        self.done.release()
        return super().batch(step, *slots)


def test_the_next_batch_is_fetched_by_a_thread_before_it_is_asked_for() -> None:
    watched = Watched()
    ahead = Ahead(watched, "cpu", by_thread=True)
    ahead.batch(0)
    watched.done.acquire()
    assert watched.done.acquire(timeout=30)
    assert watched.asked == [(0, True), (1, False)]
    ahead.batch(1)
    ahead.batch(2)
    with pytest.raises(RuntimeError, match="step 3"):
        ahead.batch(3)
    assert all(here == (step == 0) for step, here in watched.asked)
    assert 0 <= ahead.take_share() <= 1


def test_on_the_cpu_no_thread_fetches_and_the_next_images_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "images.npy", np.zeros((21, 4, 4), np.uint8))
    loaded = load(tmp_path / "images.npy")
    assert isinstance(loaded.images, Rows)
    announced: list[list[int]] = []
    monkeypatch.setattr(Rows, "read_ahead", lambda rows, places: announced.append(places.tolist()))
    batches = Batches(loaded, 6, seed=2)
    ahead, before = Ahead(batches, "cpu"), threading.active_count()
    for step in range(5):  # 4 steps an epoch
        ahead.batch(step)
    assert announced == [batches.indices(step).tolist() for step in range(1, 6)]
    assert threading.active_count() == before and 0 < ahead.take_share() <= 1


def test_images_in_memory_are_not_fetched_ahead() -> None:
    assert resident(data(), "cpu")
