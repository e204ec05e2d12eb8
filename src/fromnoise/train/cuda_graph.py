"""A training step as one launch: its kernels are recorded once, as a CUDA graph, and replayed from then on.

A step of a small network is hundreds of kernels that take a few microseconds each, and Python needs longer to ask for
one than the GPU needs to run it. A graph asks once for all of them. It works on fixed memory: what goes in is
copied there first, what comes out is there until the next call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Work = Callable[..., Tensor]
WARM = 3  # calls that run as they are before one is recorded: libraries choose their kernels in them


class Recorded:
    """work(*inputs) -> Tensor, the same by replaying; inputs are tensors on `device`, a CUDA one, or None.

    Inputs must have the same shapes and types each time. The first `WARM` calls run as they are. What `work` reads
    besides its inputs must keep its place in memory, and `work` must not wait for the device.
    """

    def __init__(self, work: Work, device: torch.device) -> None:
        self.work, self.device = work, device
        self.graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0
        self._inputs: list[Tensor | None] = []
        self._output = torch.empty(0)

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """What `work` says; it stays so until the next call."""
        with torch.cuda.device(self.device):  # streams belong to the device that is current
            return self._played(inputs)

    def _played(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        if self.graph is None:
            self._calls += 1
            if self._calls <= WARM:
                return self._beside(inputs)
            self._record(inputs)
        for place, value in zip(self._inputs, inputs, strict=True):
            if place is not None and value is not None:
                place.copy_(value)
        assert self.graph is not None
        self.graph.replay()
        return self._output

    def _beside(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        """Run as it is on a stream of its own, as it will be recorded: what it leaves behind belongs to no other."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self.work(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output

    def _record(self, inputs: tuple[Tensor | None, ...]) -> None:
        self._inputs = [None if value is None else value.clone() for value in inputs]
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self._output = self.work(*self._inputs)
        self.graph = graph
