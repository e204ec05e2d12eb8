"""Capture a function of tensors as a CUDA graph and replay it.

A training step of a small network is hundreds of kernels that run for a few microseconds each, and Python needs longer
to launch one than the GPU needs to run it. A graph launches all of them at once. It works on fixed memory: inputs are
copied into it first, and the output is valid until the next call.

References: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TensorFunction = Callable[..., Tensor]
WARMUP = 3  # eager calls before the capture: libraries choose their kernels in them


class CudaGraphCallable:
    """function(*inputs) -> Tensor, captured after `WARMUP` eager calls and replayed from then on.

    Arguments:
        function: must not wait for the device; what it reads besides its inputs must keep its place in memory.
        device: a CUDA device. Inputs are tensors on it, of the same shapes and types in each call, or None.
    """

    def __init__(self, function: TensorFunction, device: torch.device) -> None:
        self.function, self.device = function, device
        self.graph: torch.cuda.CUDAGraph | None = None
        self._calls = 0
        self._inputs: list[Tensor | None] = []
        self._output = torch.empty(0)

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """The function's output, overwritten by the next call."""
        with torch.cuda.device(self.device):  # streams belong to the current device
            if self.graph is None:
                self._calls += 1
                if self._calls <= WARMUP:
                    return self._warm_up(inputs)
                self.graph = self._capture(inputs)
            return self._replay(self.graph, inputs)

    def _warm_up(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        """Run eagerly on a side stream, as in the capture: what is allocated here must not belong to another one."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            output = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output

    def _capture(self, inputs: tuple[Tensor | None, ...]) -> torch.cuda.CUDAGraph:
        self._inputs = [None if value is None else value.clone() for value in inputs]
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        # thread_local: another thread may use the device meanwhile without breaking the capture. torch stays on the
        # capture's stream where the capture cannot be ended, as out of memory, unless the present one is restored.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        ):
            self._output = self.function(*self._inputs)
        return graph

    def _replay(self, graph: torch.cuda.CUDAGraph, inputs: tuple[Tensor | None, ...]) -> Tensor:
        for place, value in zip(self._inputs, inputs, strict=True):
            if place is not None and value is not None:
                place.copy_(value)
        graph.replay()
        return self._output
