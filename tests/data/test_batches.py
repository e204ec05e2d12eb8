"""Batches: a function of (seed, step)."""

from __future__ import annotations

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.batches import Batches
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import take


def numbered(number: int, labels: bool = True) -> ArrayData:
    """Image i is filled with i and its left column with i + 100; its label is i % 3."""
    images = torch.arange(number, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 3)
    images[..., 0] += 100
    spec = ImageSpec(1, 2, 3, ("a", "b", "c") if labels else ())
    return ArrayData("n", "train", images, torch.arange(number) % 3 if labels else None, spec)


def test_an_epoch_sees_every_image_once_and_keeps_the_last_partial_batch() -> None:
    batches = Batches(numbered(10), 4, seed=0)
    assert batches.steps_per_epoch == 3
    sizes = [len(batches.indices(step)) for step in range(6)]
    assert sizes == [4, 4, 2, 4, 4, 2]
    first = torch.cat([batches.indices(step) for step in range(3)])
    second = torch.cat([batches.indices(step) for step in range(3, 6)])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


def test_the_chapter_counts_469_steps_an_epoch() -> None:
    class Many:
        def __len__(self) -> int:
            return 60_000

    batches = Batches(Many(), 128, seed=0)  # type: ignore[arg-type]
    assert batches.steps_per_epoch == 469
    assert len(batches.indices(468)) == 96
    assert batches.images_before(469) == 60_000
    assert batches.images_before(470) == 60_128


def test_images_before_counts_what_the_steps_gave() -> None:
    batches = Batches(numbered(11), 3, seed=5)
    seen = 0
    for step in range(12):
        assert batches.images_before(step) == seen
        seen += len(batches.indices(step))


def test_a_step_does_not_depend_on_the_steps_before_it() -> None:
    walked = Batches(numbered(20), 6, seed=3, random_flip=True)
    for step in range(9):
        walked.batch(step)
    jumped = Batches(numbered(20), 6, seed=3, random_flip=True)
    for step in (7, 2, 8):
        assert torch.equal(walked.indices(step), jumped.indices(step))
        assert torch.equal(walked.batch(step)[0], jumped.batch(step)[0])
    assert not torch.equal(Batches(numbered(20), 6, seed=4).indices(0), walked.indices(0))


def test_images_come_with_their_labels() -> None:
    images, labels = Batches(numbered(9), 9, seed=1).batch(0)
    assert images.shape == (9, 1, 2, 3) and images.dtype == torch.uint8
    assert labels is not None and torch.equal(labels, images[:, 0, 0, 1].long() % 3)
    assert Batches(numbered(9, labels=False), 4, seed=1).batch(0)[1] is None


def test_flips_mirror_about_half_and_leave_the_data_alone() -> None:
    data = numbered(100)
    before = data.images.clone()
    plain = Batches(data, 100, seed=2).batch(0)[0]
    flipped = Batches(data, 100, seed=2, random_flip=True).batch(0)[0]
    mirrored = (flipped == plain.flip(-1)).flatten(1).all(1)
    assert (mirrored ^ (flipped == plain).flatten(1).all(1)).all()
    assert 30 < int(mirrored.sum()) < 70
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("size", [0, 11])
def test_a_batch_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(UsageError) as caught:
        Batches(numbered(10), size, seed=0)
    assert str(size) in str(caught.value)
    assert size == 0 or "10" in str(caught.value)


def test_slots_are_those_of_the_whole_batch():
    batches = Batches(numbered(10), 7, seed=3, random_flip=True)
    for step in (0, 1):  # seven images, then three
        images, labels = batches.batch(step)
        for slots in (slice(0, None, 2), slice(1, None, 2), slice(3, None, 4)):
            part, own = batches.batch(step, slots)
            assert torch.equal(part, images[slots]) and torch.equal(own, labels[slots])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_images_are_taken_as_an_index_takes_them(channels: int, last: bool) -> None:
    shape = (6, 5, 4, channels) if last else (6, channels, 5, 4)
    images = torch.arange(6 * 20 * channels, dtype=torch.uint8).reshape(shape)
    images = images.permute(0, 3, 1, 2) if last else images
    for indices in (torch.tensor([4, 0, 4]), torch.tensor([-1, 2]), torch.tensor([], dtype=torch.int64)):
        wanted, found = images[indices], take(images, indices)
        assert torch.equal(found, wanted) and (found.stride() == wanted.stride() or not len(indices))
