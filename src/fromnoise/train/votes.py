"""What processes that train together agree on in every step, before weights move.

Each puts in what it wants; the largest value of each kind holds for all, and each learns of it in the same step:

    stop, save, replan, ...   what is to happen after this step
    error                     a process failed: no weights move, and all stop with the weights of the step before
    leaving                   a process trains no more
    checksum                  of the weights, now and then: they have to be the same everywhere

It is one small exchange between the processors, which waits for no GPU. A process alone agrees with itself at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from fromnoise.common.errors import FromNoiseError, ProcessError
from fromnoise.train.distributed import Group

STOP, SAVE, OUT_OF_TIME, REPLAN, WINDOW = KINDS = ("stop", "save", "out of time", "replan", "window")


class Votes:
    """The votes of the processes of `group`.

    Attributes:
        checksum: of this process's weights, to be compared in the next step; 0 where none is due.
    """

    def __init__(self, group: Group) -> None:
        self.group, self.checksum = group, 0
        self._put = dict.fromkeys(KINDS, 0)
        self._agreed = self._put if group.world == 1 else dict(self._put)
        self._over = False  # all know that training ends

    def put(self, kind: str, vote: int) -> None:
        """Vote for `vote` in the next step, and in all that follow it."""
        self._put[kind] = int(vote)

    def ask(self, kind: str, vote: int) -> int:
        """What was agreed on in the last step; `vote` is for the next one. A process alone gets what it votes for."""
        self.put(kind, vote)
        return self._agreed[kind]

    def agree(self, error: Exception | None = None, *, leaving: bool = False) -> None:
        """Exchange votes; raises in all processes where one comes with an error.

        Raises ProcessError where another process leaves while this one does not, or has other weights.
        """
        if self.group.world == 1:
            if error is not None:
                raise error
            return
        try:
            values = [error is not None, leaving, self.checksum, -self.checksum, *self._put.values()]
            failed, left, most, least, *agreed = self.group.max_(torch.tensor(values, dtype=torch.int64)).tolist()
            if failed:
                self.group.raise_any(error)
            if left and not leaving:
                raise ProcessError(
                    f"another process left the training, which process {self.group.rank} of {self.group.world} cannot "
                    "go on with alone; run all steps in all processes"
                )
            if most != -least:
                raise self._drifted()
        except Exception:
            self._over = True
            raise
        self._agreed, self.checksum = dict(zip(KINDS, agreed, strict=True)), 0

    @contextmanager
    def until_all_leave(self) -> Iterator[None]:
        """Training inside; an error in one process ends it in all, and no process leaves before the others do."""
        try:
            yield
        except GeneratorExit:
            with suppress(FromNoiseError):
                self._leave()
            raise
        except ProcessError:
            raise
        except Exception as error:
            if not self._over:
                self.agree(error)
            raise
        else:
            self._leave()

    def _leave(self) -> None:
        if not self._over:
            self.agree(leaving=True)
            self.group.part()

    def _drifted(self) -> ProcessError:
        sums = self.group.gather(self.checksum)
        others = [rank for rank, value in enumerate(sums) if value != sums[0]]
        error = ProcessError(
            f"the weights of process {', '.join(map(str, others))} are not those of process 0; use machines that "
            "compute the same (the same processors, torch and number of threads), and go on from the newest checkpoint"
        )
        error.quiet = self.group.rank > 0
        self.group.part()
        return error


def checksum(*nets: nn.Module | None) -> int:
    """A number from 1 to 2**62 that depends on every bit of the weights of `nets`."""
    sums = [_bits(value.detach()) for net in nets if net for value in net.state_dict().values()]
    digest = hashlib.sha256(repr(torch.stack(sums).tolist()).encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % 2**62


def _bits(value: Tensor) -> Tensor:
    """The sum of a tensor's bits as whole numbers."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[value.element_size()]
    return value.view(whole).sum(dtype=torch.int64)
