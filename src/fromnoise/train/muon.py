"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024, "Muon").

    M <- m M + (1 - m) G
    W <- (1 - rate decay) W - rate 0.2 sqrt(max(rows, cols)) orthogonal((1 - m) G + m M)

A convolution's kernels (out, in, k, k) are a matrix (out, in k k). The factor makes a step as long as one of Adam's
(Liu et al. 2025, "Muon is scalable", section 2.2), so that one learning rate serves both: all other parameters (biases,
embeddings, the layers that touch pixels) are updated by AdamW.

torch.optim.Muon takes two-dimensional parameters only and cannot skip an update on the device, which is why this one
exists.

References: https://kellerjordan.github.io/posts/muon/ and https://arxiv.org/abs/2502.16982
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

HIDDEN = 16  # channels on both sides from which on a weight is a matrix between hidden layers
_STEPS = ((3.4445, -4.7750, 2.0315),) * 5


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """About U V^T of each matrix U S V^T, for stacks (N, rows, cols): five Newton-Schulz steps bring s to 0.7 .. 1.2.

    x <- a x + b x^3 + c x^5 for each singular value x, from matrices scaled to a Frobenius norm of 1. They are all
    polynomials of the Gram matrix of the short side, so that the long one is met twice only, and stacks whose short
    sides are alike go through the steps together, whatever their long ones.
    """
    wide = [x if x.shape[1] <= x.shape[2] else x.mT for x in matrices]
    wide = [x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12) for x in wide]
    products: list[Tensor] = [x[:0] for x in wide]
    for side in sorted({x.shape[1] for x in wide}):
        alike = [i for i, x in enumerate(wide) if x.shape[1] == side]
        found = _polynomial(torch.cat([wide[i] @ wide[i].mT for i in alike]))
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
        others = [p for p in net.parameters() if id(p) not in chosen]
        groups = [{"params": others, "muon": False}, {"params": matrices, "muon": True}]
        # "fused" tells torch, when it loads a state, that Adam's step counts live beside their weights.
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum, "fused": True}
        super().__init__([group for group in groups if group["params"]], defaults)
        self.orthogonal: Callable[[Sequence[Tensor]], list[Tensor]] = orthogonal

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update by the gradients that are there."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["muon"]:
                self._orthogonal_step(_by_shape(moved), group)
            elif moved:
                self._adam_step(moved, group)

    def _orthogonal_step(self, stacks: list[list[Tensor]], group: dict[str, Any]) -> None:
        """All matrices of one shape together: one batched product instead of many small ones."""
        if not stacks:
            return
        sound = torch.ones((), device=stacks[0][0].device) if self.found_inf is None else 1 - self.found_inf
        rate = sound * group["lr"]
        wanted = [self._remember(weights, group["momentum"], sound) for weights in stacks]
        for weights, found in zip(stacks, self.orthogonal(wanted), strict=True):
            shrunk = _stacked(weights) * (1 - rate * group["weight_decay"])
            _put(weights, shrunk - rate * (0.2 * max(found.shape[1:]) ** 0.5) * found)

    def _remember(self, weights: list[Tensor], momentum: float, sound: Tensor) -> Tensor:
        """Take the gradients of `weights` into their momentum; returns (1 - m) gradient + m momentum, stacked."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        buffers = [self.state[weight]["momentum"] for weight in weights]
        gradient = torch.where(sound.bool(), _stacked([weight.grad for weight in weights]), 0.0)
        memory = _stacked(buffers).lerp(gradient, (1 - momentum) * sound)
        _put(buffers, memory)
        return gradient.lerp(memory, momentum)

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


def _stacked(values: list[Any]) -> Tensor:
    """Tensors (rows, ...) of one shape as matrices (N, rows, cols)."""
    return torch.stack(values).flatten(2)


def _put(places: list[Tensor], stacked: Tensor) -> None:
    """Matrices (N, rows, cols) into tensors of one shape."""
    torch._foreach_copy_(places, list(stacked.reshape(len(places), *places[0].shape).unbind()))


def _by_shape(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    found: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        found.setdefault(weight.shape, []).append(weight)
    return list(found.values())
