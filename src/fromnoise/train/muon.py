"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024, "Muon").

    M <- m M + (1 - m) G
    W <- (1 - rate decay) W - rate 0.2 sqrt(max(rows, cols)) orthogonal((1 - m) G + m M)

A convolution's kernels (out, in, k, k) are a matrix (out, in k k); a linear layer that makes several vectors at once is
a matrix for each. The factor makes a step as long as one of Adam's (Liu et al. 2025, "Muon is scalable", section 2.2),
so that one learning rate serves both: all other parameters (biases, embeddings, and the layers that touch pixels where
these are fewer than HIDDEN channels, as up to 40 pixels a side) are updated by AdamW.

torch.optim.Muon takes two-dimensional parameters only and cannot skip an update on the device, which is why this one
exists.

References: https://kellerjordan.github.io/posts/muon/ and https://arxiv.org/abs/2502.16982
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from fromnoise.train.row import parts

HIDDEN = 16  # channels on both sides from which on a weight is a matrix between hidden layers
_STEPS = ((3.4445, -4.7750, 2.0315),) * 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """About U V^T of each matrix U S V^T, for stacks (N, rows, cols): five Newton-Schulz steps bring s to 0.7 .. 1.2.

    x <- a x + b x^3 + c x^5 for each singular value x, from matrices scaled to a Frobenius norm of 1. They are all
    polynomials of the Gram matrix of the short side, whose trace is that norm's square: so the long side is met twice
    only, and stacks whose short sides are alike go through the steps together, whatever their long ones.
    """
    wide = [x if x.shape[1] <= x.shape[2] else x.mT for x in matrices]
    products: list[Tensor] = [x[:0] for x in wide]
    for side in sorted({x.shape[1] for x in wide}):
        alike = [i for i, x in enumerate(wide) if x.shape[1] == side]
        gram = torch.cat([wide[i] @ wide[i].mT for i in alike])
        square = gram.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp(min=1e-24)
        found = _polynomial(gram / square) * square.rsqrt()
        for i, product in zip(alike, torch.split(found, [len(wide[i]) for i in alike]), strict=True):
            products[i] = product @ wide[i]
    return [y if y.shape == x.shape else y.mT for x, y in zip(matrices, products, strict=True)]


def _polynomial(gram: Tensor) -> Tensor:
    """What the steps multiply matrices of these Gram matrices (N, side, side) by."""
    product = factor = None
    for a, b, c in _STEPS:
        if factor is not None:
            gram = factor @ gram @ factor
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else factor @ product
    assert product is not None
    return product


def is_matrix(weight: Tensor) -> bool:
    """Whether `weight` joins hidden channels to hidden channels."""
    return weight.ndim >= 2 and min(weight.shape[:2]) >= HIDDEN


class Muon(torch.optim.Optimizer):
    """Muon for the matrices among the parameters of `net`, AdamW for all others, at one learning rate.

    An update where `found_inf` (a tensor, set before `step`) is 1 changes nothing; that is decided on the device.

    Attributes:
        orthogonal: makes matrices orthogonal.
    """

    found_inf: Tensor | None = None

    # torch keeps its compiler away from these, and loads all of that to do so: seconds, where nothing is compiled.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(
        self, net: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float, momentum: float = 0.95
    ) -> None:
        tables = {id(layer.weight) for layer in net.modules() if isinstance(layer, nn.Embedding)}
        matrices = [p for p in net.parameters() if is_matrix(p) and id(p) not in tables]
        chosen = {id(p) for p in matrices}
        self._pieces = {
            id(layer.weight): getattr(layer, "pieces", 1) for layer in net.modules() if hasattr(layer, "weight")
        }
        others = [p for p in net.parameters() if id(p) not in chosen]
        groups = [{"params": others, "muon": False}, {"params": matrices, "muon": True}]
        # "fused" tells torch, when it loads a state, that Adam's step counts live beside their weights.
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum, "fused": True}
        super().__init__([group for group in groups if group["params"]], defaults)
        self.orthogonal: Callable[[Sequence[Tensor]], list[Tensor]] = orthogonal
        self._row: _Row | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update by the gradients that are there."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["muon"] and moved:
                self._orthogonal_step(sorted(moved, key=self._matrices), group)
            elif moved:
                self._adam_step(moved, group)

    def _matrices(self, weight: Tensor) -> tuple[int, int, int]:
        """(matrices, rows, cols) that `weight` consists of."""
        pieces = self._pieces.get(id(weight), 1)  # a parameter of no layer's `weight` is one matrix
        return pieces, weight.shape[0] // pieces, weight[0].numel()

    def _orthogonal_step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """All matrices in one row of memory: few operations instead of many small ones."""
        row, m = self._row_of(weights), group["momentum"]
        sound = torch.ones((), device=weights[0].device) if self.found_inf is None else 1 - self.found_inf
        rate = sound * group["lr"]
        torch._foreach_copy_(row.places, [weight.grad for weight in weights])  # type: ignore[misc]
        gradient = torch.where(sound.bool(), row.values, 0.0)
        row.momentum.lerp_(gradient, (1 - m) * sound)
        found = self.orthogonal(row.stacks(gradient.lerp(row.momentum, m)))
        steps = torch.cat([(0.2 * max(one.shape[1:]) ** 0.5 * one).flatten() for one in found])
        row.values.copy_(steps.mul_(rate))
        torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
        torch._foreach_sub_(weights, row.places)

    def _row_of(self, weights: list[Tensor]) -> _Row:
        """The row of `weights`, with the momentum that their state holds, which becomes a part of it."""
        if self._row is None or list(map(id, self._row.weights)) != list(map(id, weights)):
            self._row = _Row(weights, [self._matrices(weight) for weight in weights])
        for weight, place in zip(weights, self._row.memories, strict=True):
            state = self.state[weight]
            if state.get("momentum") is not place:
                if state:
                    place.copy_(state["momentum"])
                state["momentum"] = place
        return self._row

    def _adam_step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(
                    step=torch.zeros((), device=weight.device),
                    exp_avg=torch.zeros_like(weight),
                    exp_avg_sq=torch.zeros_like(weight),
                )
        rows = [self.state[weight] for weight in weights]
        adamw(
            weights,
            [weight.grad for weight in weights],  # type: ignore[misc]
            [row["exp_avg"] for row in rows],
            [row["exp_avg_sq"] for row in rows],
            [],
            [row["step"] for row in rows],
            fused=True,
            found_inf=self.found_inf,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


class _Row:
    """Room for a gradient or a step of each of `weights`, one after the other, and for their momentum.

    The matrices of a convolution have their columns as they lie in memory: that changes nothing but their order.
    """

    def __init__(self, weights: list[Tensor], matrices: list[tuple[int, int, int]]) -> None:
        self.weights = weights
        self.values = weights[0].new_zeros(sum(weight.numel() for weight in weights))
        self.momentum = torch.zeros_like(self.values)
        self.places, self.memories = parts(self.values, weights), parts(self.momentum, weights)
        self._counts = Counter(matrices)  # those of one kind lie together

    def stacks(self, row: Tensor) -> list[Tensor]:
        """`row` as stacks of matrices (N, rows, cols), one for each kind of weight."""
        shapes = [(weights * pieces, rows, cols) for (pieces, rows, cols), weights in self._counts.items()]
        return [piece.view(shape) for piece, shape in zip(row.split(list(map(math.prod, shapes))), shapes, strict=True)]
