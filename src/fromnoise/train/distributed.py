"""The processes that work together, and what they say to each other.

The contract is torchrun's: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT stand in the
environment, or somebody (Ray Train) has joined the processes already. A process alone is a group of one, whose every
method returns at once, so that the same code runs in one process and in many.

    group = join()
    mine = range(10_000)[group.slots]                  # this process's share: rank, rank + world, ...
    total = group.sum_(torch.tensor([my_sum, my_count]))  # of all processes, in each of them

Each method is called by all processes, in the same order. Where one of them fails inside `first` or `each`, all raise.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from fromnoise.common.durations import format_duration
from fromnoise.common.errors import (
    DataError,
    FromNoiseError,
    LostProcessError,
    OtherProcessError,
    ProcessError,
    UsageError,
)
from fromnoise.common.memory import is_out_of_memory

T = TypeVar("T")

JOIN_SECONDS = 300.0  # until all processes have to be there
ANSWER_SECONDS = 1800.0  # until a process has to answer, unless `wait_for` says otherwise
PART_SECONDS = 20.0  # until a process ends although others have not said that they do


class Group:
    """This process alone.

    Attributes:
        rank, world: the number of this process (from 0), and how many there are.
        local_rank, local_world: the same among those on this machine.
    """

    rank = local_rank = 0
    world = local_world = 1

    @property
    def slots(self) -> slice:
        """This process's share of any sequence, such as the images of a batch: rank, rank + world, ..."""
        return slice(self.rank, None, self.world)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Put the sum of all processes' tensors of one shape and type into `tensor`; returns it."""
        return tensor

    def max_(self, tensor: Tensor) -> Tensor:
        """Put the largest value of all processes into each place of `tensor`; returns it."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return flag

    def broadcast(self, value: T) -> T:
        """The `value` of process 0."""
        return value

    def gather(self, value: T) -> list[T]:
        """The `value` of each process, by rank."""
        return [value]

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def part(self) -> None:
        """Before processes end, wait until all are here; nothing is raised where others are gone.

        A process that ends closes its connections, which can fail the exchange that another is still about to finish.
        """

    def wait_for(self, seconds: float) -> None:
        """From now on, raise LostProcessError where a process does not answer for so long."""

    def first(self, work: Callable[[], T]) -> T:
        """What `work` returns in process 0, which alone does it; where it fails there, all raise."""
        return self.broadcast(self.each(work if self.rank == 0 else lambda: None))  # type: ignore[return-value]

    def each(self, work: Callable[[], T]) -> T:
        """What `work` returns in this process; where it fails in any, all raise.

        Nothing in `work` may wait for another process. Process 0 has the error to report: see `agreed_error`.
        """
        result, error = None, None
        try:
            result = work()
        except Exception as raised:
            error = raised
        self.raise_any(error)
        return result  # type: ignore[return-value]

    def raise_any(self, error: Exception | None) -> None:
        """Raise where any process comes with an error: that process its own, the others one that names it."""
        found = self.gather(None if error is None else (describe(error), getattr(error, "exit_code", 1)))
        failed = [(rank, *about) for rank, about in enumerate(found) if about is not None]
        if not failed:
            return
        self.part()
        if isinstance(error, FromNoiseError):
            error.quiet = self.rank > 0  # process 0 says it
        if error is not None:
            raise error
        rank, text, code = failed[0]
        raise OtherProcessError(f"process {rank} of {self.world} failed: {text}", code, quiet=self.rank > 0)

    def same(self, facts: Mapping[str, Any]) -> None:
        """UsageError where the processes do not have the same `facts` (name -> value); DataError for "the images"."""
        found = self.gather(dict(facts))
        for name, value in found[0].items():
            for rank, others in enumerate(found):
                if others.get(name) != value:
                    kind = DataError if name == "the images" else UsageError
                    error = kind(
                        f"{name}: {str(value)[:60]} in process 0, but {str(others.get(name))[:60]} in process {rank}; "
                        "start all processes with the same command, version and images"
                    )
                    error.quiet = self.rank > 0
                    self.part()
                    raise error


class TorchGroup(Group):
    """The processes that torch.distributed has joined: gloo for tensors on the CPU, NCCL for those on GPUs."""

    def __init__(self) -> None:
        import torch.distributed as dist

        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.local_rank = _number("LOCAL_RANK", self.rank)
        self.local_world = _number("LOCAL_WORLD_SIZE", self.world)
        self._parted = 0
        self.wait_for(ANSWER_SECONDS)

    def wait_for(self, seconds: float) -> None:
        import torch.distributed as dist

        self.seconds = seconds
        with self._asking():
            self._gloo = dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))

    def sum_(self, tensor: Tensor) -> Tensor:
        import torch.distributed as dist

        with self._asking():
            dist.all_reduce(tensor, group=self._gloo if tensor.device.type == "cpu" else None)
        return tensor

    def max_(self, tensor: Tensor) -> Tensor:
        import torch.distributed as dist

        with self._asking():
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._gloo if tensor.device.type == "cpu" else None)
        return tensor

    def any(self, flag: bool) -> bool:
        return bool(self.max_(torch.tensor(int(flag))))

    def broadcast(self, value: T) -> T:
        import torch.distributed as dist

        found = [value]
        with self._asking():
            dist.broadcast_object_list(found, src=0, group=self._gloo)
        return found[0]

    def gather(self, value: T) -> list[T]:
        import torch.distributed as dist

        found: list[Any] = [None] * self.world
        with self._asking():
            dist.all_gather_object(found, value, group=self._gloo)
        return found

    def barrier(self) -> None:
        import torch.distributed as dist

        with self._asking():
            dist.barrier(group=self._gloo)

    def part(self) -> None:
        from torch.distributed.distributed_c10d import _get_default_store

        self._parted += 1
        names = [f"parted-{self._parted}-{rank}" for rank in range(self.world)]
        with suppress(RuntimeError):  # the process that holds the store was the last to come, and has ended
            store = _get_default_store()
            store.set(names[self.rank], "")
            store.wait(names, timedelta(seconds=PART_SECONDS))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """LostProcessError where another process is gone or silent."""
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            silent = "imed out" in str(error)
            what = f"did not answer for {format_duration(self.seconds)}" if silent else "ended"
            raise LostProcessError(
                f"process {self.rank} of {self.world} waits for another one, which {what}; look for its error above, "
                "and run the same command again to go on from the newest checkpoint"
            ) from error


ALONE = Group()


def current() -> Group:
    """The group that this process has joined, else `ALONE`."""
    import torch.distributed as dist

    return _joined() if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1 else ALONE


def join() -> Group:
    """The group of this process: joined to the others at the first call where the environment names any, else `ALONE`.

    Raises UsageError for an environment that is not whole, and ProcessError where the others do not come.
    """
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if dist.is_available() and dist.is_initialized():
        return current()
    _refuse_silent_single_process()
    if _number("WORLD_SIZE", 1) == 1:
        return ALONE
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but not {' and '.join(missing)}; start the processes "
            "with torchrun or --num_processes, or set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each"
        )
    rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if not 0 <= rank < world:
        raise UsageError(f"RANK is {rank}, but WORLD_SIZE is {world}; number the processes from 0 to {world - 1}")
    if not dist.is_available():
        raise UsageError("this build of torch has no torch.distributed; train in one process, or install another build")
    timeout = timedelta(seconds=JOIN_SECONDS)
    try:
        store, *_ = next(rendezvous("env://", timeout=timeout))
        # torchrun keeps its store when it starts processes again, with the addresses of those that ended.
        store = PrefixStore(f"fromnoise-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timeout)
        atexit.register(leave)  # a thread of gloo that outlives Python aborts the process, whose work is done
    except (RuntimeError, ValueError) as error:
        raise ProcessError(
            f"process {rank} of {world} found no master at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} "
            f"within {format_duration(JOIN_SECONDS)}, or not all of the others came; start all processes, with the "
            "MASTER_ADDR and MASTER_PORT of process 0"
        ) from error
    return _joined()


def leave() -> None:
    """End the group of this process, if it has joined one."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    _joined.cache_clear()


@cache
def _joined() -> TorchGroup:
    return TorchGroup()


def describe(error: BaseException) -> str:
    """An error in a sentence: its own where it has one, else its type and its first words."""
    if isinstance(error, FromNoiseError):
        return str(error)
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _number(name: str, default: int) -> int:
    """A number of the environment; UsageError for anything else."""
    text = os.environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{name} is '{text[:40]}' in the environment, but expected a number; correct or unset it"
        ) from None


def _refuse_silent_single_process() -> None:
    """UsageError where accelerate was asked for several processes and has started a single one."""
    several = os.environ.get("MASTER_ADDR") and any(name.startswith("ACCELERATE_") for name in os.environ)
    if several and not os.environ.get("WORLD_SIZE"):
        raise UsageError(
            "accelerate was asked for several processes, but has started a single one (WORLD_SIZE is not set); use "
            "`fromnoise train --num_processes N` or torchrun, or give accelerate --multi_gpu, which goes for CPUs too"
        )
