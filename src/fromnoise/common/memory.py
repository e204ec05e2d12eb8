"""Memory that runs out: how that is recognised, and work that goes on with fewer images at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from fromnoise.common.allocator import return_freed_memory
from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.free_memory import free_memory
from fromnoise.common.progress import report_progress
from fromnoise.common.threads import THREADS

if TYPE_CHECKING:
    from torch import Tensor

# torch raises a RuntimeError of some kind for each; "memory" and "alloc" in other messages are no reason to try again.
_MARKS = ("out of memory", "allocate memory", "not enough memory", "bad_alloc", "ALLOC_FAILED", "DefaultCPUAllocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch's allocators or one of its libraries raised `error` for want of memory.

    An error of a GPU's while cleaning up after such a one counts too.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, RuntimeError):
        return False
    return any(mark in str(error) for mark in _MARKS) or (
        error.__context__ is not None and is_out_of_memory(error.__context__)
    )


def release_memory() -> None:
    """Give back what nobody holds: reference cycles, and what allocators keep for later."""
    gc.collect()
    return_freed_memory()
    torch = sys.modules.get("torch")  # where it was never loaded, it holds nothing
    if torch is None:
        return
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


class BatchLimit:
    """How many images are worked on at once: half as many wherever memory runs out, and no more from then on.

    most: to begin with; None is all that there are.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def map(self, work: Callable[[slice], Tensor], count: int) -> Tensor:
        """The rows that `work` makes of 0 to `count`, a slice at a time.

        Raises MemoryLimitError where a single row does not fit.
        """
        import torch

        pieces: list[Tensor] = []
        begin, size, before = 0, 0, self.most
        while begin < count or not pieces:
            size = min(count - begin, self.most or count)
            try:
                pieces.append(work(slice(begin, begin + size)))
                begin += size
                THREADS.follow()
                continue
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Here and not above: the error holds on to all that was computed.
            if size <= 1:
                raise MemoryLimitError(
                    "memory ran out with a single image at a time; free some, or use smaller images or networks"
                )
            release_memory()
            self.most = -(-size // 2)
        if self.most != before:
            report_progress(f"memory ran out with {before or count} images at once; going on with {self.most}")
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def memory_limit(device: str = "cpu") -> int | None:
    """Bytes that can be had on `device`: on a GPU all that torch may take, else what is free; None if not known."""
    if not device.startswith("cuda"):
        return free_memory()
    import torch

    if not torch.cuda.is_available():  # a run that is planned for another machine
        return None
    # Of "cuda" without a number: torch wants one here.
    index = torch.device(device).index
    share: float = torch.cuda.get_per_process_memory_fraction(torch.cuda.current_device() if index is None else index)
    return int(share * torch.cuda.mem_get_info(device)[1])


def peak_memory(device: str = "cpu") -> int | None:
    """The most bytes that this process has held so far: on a GPU by its allocator, else in all; None on Windows."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_reserved(device))
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used
