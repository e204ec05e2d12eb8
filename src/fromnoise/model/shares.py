"""Work on images that the processes of a group share: each does some of the batches, and all get the results of all.

    with sharing(join()):
        samples = model.sample(10_000)      # every process of the group comes here, with the same arguments

Nothing is padded and nothing done twice: of n batches, process r of R does r, r + R, ... They are those that a process
alone makes, so their results are the same bits, while there are at least as many as processes. Of fewer the images are
divided evenly, and a value may differ by what the size of a batch changes in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from fromnoise.train.distributed import ALONE, Group

T = TypeVar("T")

_GROUP: ContextVar[Group] = ContextVar("the group that shares work on images", default=ALONE)


def shared() -> Group:
    """The group that shares work here: `ALONE`, but inside `sharing`."""
    return _GROUP.get()


@contextmanager
def sharing(group: Group) -> Iterator[Group]:
    """Inside, samples and features are made by all processes of `group`, and each of them has to ask for them."""
    before = _GROUP.set(group)
    try:
        yield group
    finally:
        _GROUP.reset(before)


def in_first(work: Callable[[], T]) -> T | None:
    """What `work` returns in process 0, which alone does it; None in the others. Where it fails, all raise."""
    group = shared()
    return group.each(lambda: work() if group.rank == 0 else None)


def by_turns(work: Callable[[], T]) -> T:
    """What `work` returns in each process; process 0 does it first, and leaves the others what it puts into a cache."""
    made, group = in_first(work), shared()
    others = group.each(lambda: work() if group.rank else None)
    return others if made is None else made  # type: ignore[return-value]


def parts_of(count: int, size: int) -> list[slice]:
    """0 to `count` in parts of `size`; in equal, smaller ones where there would be fewer parts than processes."""
    size = min(size, max(1, -(-count // shared().world)))
    return [slice(begin, min(count, begin + size)) for begin in range(0, count, size)]


def in_shares(work: Callable[[slice], T], parts: Sequence[slice]) -> Iterator[T]:
    """What `work` makes of each part, in order; where it fails in one process, all raise."""
    group = shared()
    for begin in range(0, len(parts), group.world):
        mine = parts[begin + group.rank : begin + group.rank + 1]
        made = group.each(lambda mine=mine: [work(part) for part in mine])  # type: ignore[misc]
        for one in group.gather(made):
            yield from one
