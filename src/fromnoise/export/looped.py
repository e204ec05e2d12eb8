"""A sampling plan as a loop around its network: one ONNX Scan over a table, so that a step costs a row of numbers.

    start    noise [, fresh]                                                       -> xs_0, x0s_0
    Scan     xs_k, x0s_k, row k [, draws k] [, label] [, guidance_scale] [, fresh] -> xs_{k+1}, x0s_{k+1}
    images   xs_n[0]

xs and x0s hold the last x and x0, newest first: see `fromnoise.export.recurrence`. torch exports the start and the
Scan's body like any other module, and onnx's helper puts them together. (torch's own scan captures the size of the
batch, which its ONNX exporter cannot pass on.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.export.modules import Traceable, exported
from fromnoise.export.recurrence import DRAWS, Recurrence, recurrence
from fromnoise.export.unrolled import UnrolledSampler, combine

_FIXED = 5  # numbers in a row before its weights: code, input_scale, x_weight, out_weight, guided


class LoopStart(nn.Module):
    """(xs, x0s) before the first evaluation."""

    def __init__(self, sampler: UnrolledSampler, memory: int) -> None:
        super().__init__()
        self.first, self.memory = sampler.plan.evaluations[0].x, memory

    def forward(self, noise: Tensor, fresh: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Each (memory, B, C, H, W), for noise (B, C, H, W)."""
        x = combine(self.first, noise, (), () if fresh is None else fresh.unbind(0))[None]
        xs = torch.cat([x, *(torch.zeros_like(x) for _ in range(self.memory - 1))])
        return xs, torch.zeros_like(xs)


class LoopStep(nn.Module):
    """One evaluation of the network, and the x after it."""

    def __init__(self, sampler: UnrolledSampler, memory: int) -> None:
        super().__init__()
        self.sampler, self.memory = sampler, memory

    def forward(
        self,
        xs: Tensor,
        x0s: Tensor,
        row: Tensor,
        draws: Tensor | None = None,
        label: Tensor | None = None,
        guidance_scale: Tensor | None = None,
        fresh: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The next (xs, x0s).

        Arguments:
            xs, x0s: (memory, B, C, H, W) each.
            row: (5 + 2 memory + 2,), as `rows` makes it. draws: int64 (2,), which fresh noise.
            label, guidance_scale, fresh: as of the whole sampler.
        """
        code, input_scale, x_weight, out_weight, guided = row[:_FIXED].unbind()
        of_x, of_x0, of_fresh = torch.split(row[_FIXED:], [self.memory, self.memory, DRAWS])
        scale = None if guidance_scale is None else 1 + guided * (guidance_scale - 1)
        x0 = self.sampler.x0((code, input_scale, x_weight, out_weight), xs[0], label, scale)
        x0s = torch.cat([x0[None], x0s[: self.memory - 1]])
        x = _weighted(of_x, xs) + _weighted(of_x0, x0s)
        if fresh is not None and draws is not None:
            x = x + _weighted(of_fresh, fresh.index_select(0, draws))
        return torch.cat([x[None], xs[: self.memory - 1]]), x0s


def _weighted(weights: Tensor, images: Tensor) -> Tensor:
    return (weights[:, None, None, None, None] * images).sum(0)


def rows(sampler: UnrolledSampler, found: Recurrence) -> np.ndarray:
    """float32 (n, 5 + 2 memory + 2): the row of each evaluation."""
    own = [
        (one.code, one.input_scale, one.x_weight, one.out_weight, float(one.guided)) for one in sampler.plan.evaluations
    ]
    return np.concatenate([own, found.x, found.x0, found.fresh], axis=1).astype(np.float32)


def looped(given: Traceable) -> Any:
    """The ONNX model of a whole sampler, with its inputs and its output, that calls its network in a Scan."""
    import onnx
    from onnx import helper, numpy_helper

    sampler = given.module
    assert isinstance(sampler, UnrolledSampler)
    found = recurrence(sampler.plan)
    whole, step = (onnx.load_from_string(exported(part)) for part in _parts(given, sampler, found))
    whole = onnx.compose.add_prefix(whole, "start.", rename_inputs=False, rename_outputs=False)
    graph, body = whole.graph, step.graph
    types = {one.name: helper.make_value_info(one.name, one.type) for one in (*graph.input, *body.input)}
    tables = {"row": rows(sampler, found), "draws": found.draws}
    tables = {name: table for name, table in tables.items() if name in types}
    graph.initializer.extend(numpy_helper.from_array(table, f"{name}s") for name, table in tables.items())
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "newest"))
    _replace(body.input, [types[name] for name in ("xs", "x0s", *tables)])  # the rest it sees from outside
    names = ["xs_0", "x0s_0", *(f"{name}s" for name in tables)]
    graph.node.append(helper.make_node("Scan", names, ["xs_n", "x0s_n"], body=body, num_scan_inputs=len(tables)))
    graph.node.append(helper.make_node("Gather", ["xs_n", "newest"], list(given.outputs), axis=0))
    _replace(graph.input, [types[name] for name in given.inputs])
    _replace(graph.output, [helper.make_value_info(name, types["noise"].type) for name in given.outputs])
    return whole


def _replace(values: Any, wanted: list[Any]) -> None:
    del values[:]
    values.extend(wanted)


def _parts(given: Traceable, sampler: UnrolledSampler, found: Recurrence) -> tuple[Traceable, Traceable]:
    """What comes before the loop, and its body, to be exported."""
    memory, inputs = found.memory, dict(given.inputs)
    noise = inputs.pop("noise")
    at_once = {"fresh": inputs["fresh"]} if any(sampler.plan.evaluations[0].x.fresh) else {}
    images = noise.expand(memory, *noise.shape).contiguous()
    loop = {"xs": images, "x0s": images.clone(), "row": torch.from_numpy(rows(sampler, found)[0])}
    if "fresh" in inputs:
        loop["draws"] = torch.from_numpy(found.draws[0])
    start, step = LoopStart(sampler, memory).eval(), LoopStep(sampler, memory).eval()
    before = Traceable(start, {"noise": noise, **at_once}, ("xs_0", "x0s_0"))
    return before, Traceable(step, {**loop, **inputs}, ("xs_next", "x0s_next"))
